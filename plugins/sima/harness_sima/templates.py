"""The critic's prompts that ship with the plugin; any text file can take their place.

``DEFAULT`` asks for the three comparisons of SIMA (arXiv 2405.15973, section 3.2: objects,
relations, attributes) with two worked demonstrations, in words of our own: a figure made with it is
not made with the published wording. ``COMPACT`` is for models of the built-in demo, which learned
it.
"""

from __future__ import annotations

DEFAULT = """\
You see an image, a question about it, a reference answer that people wrote, and two responses \
that a model gave. Decide which response describes this image better. The reference is true, \
though it need not mention everything that can be seen.

Weigh three things, each against the image and the reference:
1. Objects. Does the response name the things that are there, and nothing that is not there?
2. Relations. Are places, directions, actions and who does what to whom told correctly?
3. Attributes. Are colours, sizes, counts, materials and states told correctly?
Neither length nor style counts. First give your reason in a few sentences, then write the number\
 of the better response in double square brackets.

Here is how it is done, twice.

Example 1
Question: [What is happening in the kitchen?]
Reference: [A boy in a green apron stirs a pot on the stove while a cat sleeps under the table. \
Two lemons lie on the counter.]
Response 1: [A boy with a green apron is stirring something in a pot. Under the table there is a \
sleeping cat.]
Response 2: [A boy with a red apron is stirring a pot while a dog watches him from the table. \
Three lemons lie on the counter.]
Judgement: Objects: response 1 names the boy, the pot and the cat, which are all there; response \
2 turns the cat into a dog. Relations: in response 1 the cat is under the table, as it should be;\
 in response 2 the animal is placed on the table and watches, which is not so. Attributes: the \
apron is green, which response 1 says and response 2 does not, and there are two lemons, not \
three. Response 1 leaves the lemons out but says nothing false. The better response is [[1]].

Example 2
Question: [Describe the street.]
Reference: [A yellow tram stands at a stop. To its left, a woman pushes a bicycle across the wet \
road.]
Response 1: [A yellow bus is parked to the left of a woman who rides a bicycle. The road is dry \
and many people are waiting.]
Response 2: [A yellow tram has stopped. On its left a woman is pushing her bicycle over the \
road.]
Judgement: Objects: response 1 makes a bus of the tram and adds a crowd; response 2 names tram, \
woman and bicycle and nothing else. Relations: the woman pushes her bicycle and is on the left of\
 the tram, which response 2 has right; response 1 lets her ride and exchanges the sides. \
Attributes: both have the colour right; response 1 calls the wet road dry, response 2 does not \
speak of it. The better response is [[2]].

Now it is your turn.
Question: [{question}]
Reference: [{reference}]
Response 1: [{response_1}]
Response 2: [{response_2}]
Judgement:"""

COMPACT = """\
Compare two responses to a question about the image. Check the objects, their relations and their\
 attributes.
Question: {question}
Reference: {reference}
Response 1: {response_1}
Response 2: {response_2}
Say briefly what is wrong, then name the better response as [[1]] or [[2]]."""

SHIPPED = {"default": DEFAULT, "compact": COMPACT}
