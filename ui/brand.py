"""The mark: grains, and the few that are kept. Drawn here so that nothing is fetched from anywhere."""

from __future__ import annotations

_GRAINS = (
    '<circle cx="6" cy="7" r="2.6" opacity=".35"/><circle cx="16" cy="5" r="2.6" opacity=".35"/>'
    '<circle cx="26" cy="7" r="2.6" opacity=".35"/><path d="M3 13h26l-9 9v7l-8-3v-4z"/>'
)
MARK = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" width="32" height="32" fill="#3f8f68">{_GRAINS}</svg>'
)
LOGO = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 132 32" width="132" height="32">'
    f'<g fill="#3f8f68">{_GRAINS}</g>'
    '<text x="38" y="23" font-family="Source Sans, sans-serif" font-size="21" font-weight="600"'
    ' fill="#3f8f68">winnow</text></svg>'
)
