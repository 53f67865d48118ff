"""Who gets its partition again goes on, unless another may have had it in between."""

from stream.kept import Kept

PLACE, OTHER = ("samples", 0), ("samples", 1)


def kept(generation=4):
    out = Kept()
    out.put(PLACE, "worker 0", generation)
    out.put(OTHER, "worker 1", generation)
    return out


def test_a_partition_that_comes_back_in_the_next_generation_has_its_worker_once():
    one = kept()
    assert one.lost({PLACE, OTHER}, 5) == []
    assert one.take(PLACE, 5) == "worker 0" and one.take(PLACE, 5) is None
    assert one.workers() == ["worker 1"]


def test_what_went_to_another_is_lost_and_what_stayed_is_not():
    one = kept()
    assert one.lost({OTHER}, 5) == [(PLACE, "worker 0")]
    assert one.take(PLACE, 5) is None and one.take(OTHER, 5) == "worker 1"


def test_after_a_generation_that_one_had_no_part_in_nothing_goes_on():
    one = kept()
    assert one.take(PLACE, 6) is None
    assert sorted(one.lost({PLACE, OTHER}, 6)) == [(PLACE, "worker 0"), (OTHER, "worker 1")]
    assert one.workers() == []


def test_a_group_that_began_anew_is_not_taken_for_the_next_generation():
    assert kept(generation=4).take(PLACE, 1) is None
