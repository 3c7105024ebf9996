"""The typed HTTP client: the only HTTP of the UI and the command line."""

from client.answers import Accepted, Added, Batch, Job, Me, NewToken, NewUser, Page, Project, Token
from client.errors import ClientError, JobFailed, JobTimeout, ProblemError, Unreachable
from client.http import Client

__all__ = [
    "Accepted",
    "Added",
    "Batch",
    "Client",
    "ClientError",
    "Job",
    "JobFailed",
    "JobTimeout",
    "Me",
    "NewToken",
    "NewUser",
    "Page",
    "ProblemError",
    "Project",
    "Token",
    "Unreachable",
]
