"""Tables, one noun a file."""

from winnow.db.tables.feature import Encoder, FeatureShard
from winnow.db.tables.item import Content, Item
from winnow.db.tables.job import Job, WorkerSeen
from winnow.db.tables.label import Label, LabelRequest
from winnow.db.tables.ledger import AuditEntry, LedgerEntry
from winnow.db.tables.llm_answer import LlmAnswer
from winnow.db.tables.project import Member, Project
from winnow.db.tables.queue import Lease, QueueEntry
from winnow.db.tables.round import Round, Student
from winnow.db.tables.user import SignInFailure, Token, User

__all__ = [
    "AuditEntry",
    "Content",
    "Encoder",
    "FeatureShard",
    "Item",
    "Job",
    "Label",
    "LabelRequest",
    "Lease",
    "LedgerEntry",
    "LlmAnswer",
    "Member",
    "Project",
    "QueueEntry",
    "Round",
    "SignInFailure",
    "Student",
    "Token",
    "User",
    "WorkerSeen",
]
