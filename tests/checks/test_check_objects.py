"""What no YAML file can hold."""

from good_variants import good

from krm_fn.checks import faults


def test_a_value_in_two_places_is_found_with_both_places():
    context = good()
    service = next(each for each in context.objects if each["kind"] == "Service")
    service["metadata"]["labels"] = service["spec"]["selector"]

    expected = "must not have one value in two places: metadata.labels, spec.selector"

    assert [result.message for result in faults(context)] == [expected]
