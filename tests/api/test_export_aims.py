import pytest
from pydantic import ValidationError

from api.schemas.student import ExportIn


def test_a_cascade_may_be_told_what_to_reach_or_what_to_pass_on():
    assert ExportIn(format="cascade").aim() == {}
    assert ExportIn(format="cascade", share=0.1).aim() == {"share": 0.1}
    assert ExportIn(format="cascade", accuracy=0.0).aim() == {"accuracy": 0.0}


@pytest.mark.parametrize(
    "body",
    [
        {"format": "cascade", "share": 0.1, "accuracy": 0.9},
        {"format": "cascade", "share": 1.1},
        {"format": "onnx", "accuracy": 0.9},
        {"share": 0.1},
    ],
)
def test_it_may_not_be_told_both_and_other_formats_neither(body):
    with pytest.raises(ValidationError):
        ExportIn(**body)
