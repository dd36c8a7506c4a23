#!/usr/bin/env bash
# Write the gate's verdict into one comment of a pull request: the first time a new one, then that.
# Needs gh with GH_TOKEN; NAME, NUMBER (of the pull request) and REPORTS come from action.yml.
set -euo pipefail

body=$(mktemp)
trap 'rm -f "$body"' EXIT
MARK="<!-- harness gate: ${NAME//[^A-Za-z0-9 _.-]/} -->"
export MARK

# A comment may hold 65536 characters. The verdict and the table stand before the first heading.
{
  echo "$MARK"
  awk '/^## / {exit} (size += length($0) + 1) > 60000 {exit} {print}' "$REPORTS/report.md"
  echo
  echo "The page with every sample is an artifact of" \
    "[this run]($GITHUB_SERVER_URL/$GITHUB_REPOSITORY/actions/runs/$GITHUB_RUN_ID)."
} > "$body"

comments="repos/$GITHUB_REPOSITORY/issues/$NUMBER/comments"
# Only a bot's comment that begins with the mark is ours; anybody may write the mark.
known=$(gh api --paginate "$comments" \
  --jq '.[] | select(.user.type == "Bot" and (.body | startswith(env.MARK))) | .id')
known=${known%%$'\n'*}

if [ -n "$known" ]; then
  gh api --silent --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$known" -F "body=@$body"
else
  gh api --silent --method POST "$comments" -F "body=@$body"
fi
