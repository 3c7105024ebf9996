from bench.compress import table

FOUND = {
    "steps": [
        {"step": "torch fp32", "kept": None, "mb": 90.0, "zipped_mb": None, "memory_mb": 50.0, "accuracy": 0.8}
        | {"agreement": 1.0, "cosine": 1.0, "times_torch": {"1 thread, batch 1": 1.0}},
        {"step": "int8", "kept": True, "mb": 22.5, "zipped_mb": 20.0, "memory_mb": 70.0, "accuracy": 0.792}
        | {"agreement": 0.98, "cosine": 0.99, "times_torch": {"1 thread, batch 1": 4.04}},
        {"step": "layers=1", "kept": False, "mb": 20.0, "zipped_mb": 18.0, "memory_mb": 60.0, "accuracy": 0.4}
        | {"agreement": 0.4, "cosine": 0.5, "times_torch": {"1 thread, batch 1": 20.0}},
    ]
}


def test_sizes_and_accuracies_are_shown_against_the_whole_encoder_in_torch():
    whole, quantised, cut = table(FOUND)
    assert (whole["kept"], quantised["kept"], cut["kept"]) == ("", "yes", "no")
    assert (quantised["of torch"], quantised["left"], quantised["1 thread, batch 1"]) == ("25%", "99.0%", "4.0 ×")
    assert cut["left"] == "50.0%"
