"""People, sign-in and tokens."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from winnow.db.tables import Token, User


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SignIn(_Body):
    """An e-mail and its password."""

    email: str = Field(max_length=320)
    password: SecretStr


class AccessToken(BaseModel):
    """A token for a while; ``expires_in`` is in seconds."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 — a kind, not a secret
    expires_in: int


class MeOut(BaseModel):
    """Whoever asks."""

    id: str
    email: str
    role: str
    must_change_password: bool


class PasswordChange(_Body):
    """The present password and the next one."""

    current: SecretStr
    new: SecretStr


class TokenCreate(_Body):
    """A name to know the token by."""

    name: str = Field(min_length=1, max_length=200)


class TokenOut(BaseModel):
    """An API token, without its secret."""

    id: str
    name: str
    created_at: datetime

    @classmethod
    def of(cls, token: Token) -> TokenOut:
        """From its row."""
        return cls(id=str(token.id), name=token.name, created_at=token.created_at)


class TokenCreated(TokenOut):
    """A new API token. ``token`` is shown this once."""

    token: str


class TokenList(BaseModel):
    """The caller's API tokens, newest first."""

    data: list[TokenOut]
    next: str | None = None


class UserCreate(_Body):
    """Somebody new. Without a password one is generated."""

    email: str = Field(max_length=320)
    password: SecretStr | None = None
    role: Literal["admin", "member"] = "member"


class UserOut(BaseModel):
    """An account."""

    id: str
    email: str
    role: str
    created_at: datetime

    @classmethod
    def of(cls, user: User) -> UserOut:
        """From its row."""
        return cls(id=str(user.id), email=user.email, role=user.role, created_at=user.created_at)


class UserCreated(UserOut):
    """A new account. ``password`` is there when it was generated, and shown this once."""

    password: str | None = None


class UserList(BaseModel):
    """Accounts, oldest first."""

    data: list[UserOut]
    next: str | None = None
