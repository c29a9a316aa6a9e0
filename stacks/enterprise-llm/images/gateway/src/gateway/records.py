"""Sessions, messages, questions and answers."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from .engine import Turn

Cursor = Annotated[str, Meta(pattern=r"^([0-9]{16}\.[0-9a-f]{32})?$")]
Finish = Literal["stop", "length", "stopped", "error"]


class Session(msgspec.Struct):
    """A conversation."""

    id: UUID
    title: str
    model: str
    created_at: datetime
    updated_at: datetime


class Message(msgspec.Struct):
    """One message of a conversation."""

    id: UUID
    role: Literal["user", "assistant"]
    content: str
    model: str | None
    finish_reason: Finish | None
    created_at: datetime


class Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int


@dataclass
class Question:
    """What a user asked, and all that the model is to read, the oldest first. `stored` is done when the user's message
    is on the disk, or says why it is not."""

    owner: str
    session: Session
    message_id: UUID
    turns: list[Turn]
    stored: asyncio.Future[None]
    replaces: UUID | None = None


@dataclass
class Answer:
    question: Question
    content: str
    finish: Finish
    usage: Usage
    id: UUID = field(default_factory=uuid.uuid4)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
