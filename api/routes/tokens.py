"""API tokens."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.deps import Cursor, DatabaseDep, Limit, Me, page_start
from api.schemas.user import TokenCreate, TokenCreated, TokenList, TokenOut
from winnow import users
from winnow.ids import parse_id

router = APIRouter(prefix="/tokens", tags=["tokens"])


@router.post("", status_code=201)
def create_token(body: TokenCreate, me: Me, database: DatabaseDep) -> TokenCreated:
    """Make an API token. It is shown once and lasts until it is deleted."""
    with database.write() as session:
        token, secret = users.issue_token(session, me.identity.user_id, body.name, "api")
        me.record(session, "token.create", token=str(token.id), name=token.name)
    return TokenCreated(**TokenOut.of(token).model_dump(), token=secret)


@router.get("")
def list_tokens(me: Me, database: DatabaseDep, cursor: Cursor = None, limit: Limit = 100) -> TokenList:
    """Your API tokens, newest first, without their secrets."""
    before = page_start(cursor)
    with database.read() as session:
        found = users.list_tokens(session, me.identity.user_id, before=before, limit=limit + 1)
    page = found[:limit]
    return TokenList(data=[TokenOut.of(token) for token in page], next=str(page[-1].id) if len(found) > limit else None)


@router.delete("/{token}", status_code=204)
def delete_token(token: str, me: Me, database: DatabaseDep) -> Response:
    """End one of your tokens at once."""
    with database.write() as session:
        users.revoke_token(session, me.identity.user_id, parse_id(token, "token"))
        me.record(session, "token.delete", token=token)
    return Response(status_code=204)
