"""Runs the browser tests, on real processes in a real browser. Run by run.sh; names of tests are promises."""

import sys
import time
import traceback

import fixture
import journeys
import limits
import look
import safety
import shapes
import speed
from browser import Browser
from cluster import Cluster

# In this order: the first one wants an empty coordinator, the last one kills it.
TESTS = [
    journeys.the_first_page_starts_the_sample_jobs_and_compares_them,
    shapes.the_charts_of_the_sample_jobs_have_their_three_shapes,
    look.every_page_fits_three_widths_in_both_themes_without_an_axe_violation,
    journeys.the_keyboard_alone_goes_from_a_job_to_its_failure_and_tries_it_again,
    journeys.a_link_shows_what_the_one_who_copied_it_saw,
    journeys.a_spec_is_checked_while_it_is_typed,
    journeys.a_cut_stream_says_so_and_comes_back_by_itself,
    journeys.a_run_can_be_cancelled_and_the_page_says_what_is_lost,
    journeys.what_is_pressed_before_the_page_is_whole_is_done,
    journeys.a_run_is_paused_resumed_and_cancelled_and_each_state_is_without_an_axe_violation,
    limits.the_keyboard_changes_limits_of_a_run_and_asks_what_holds_it,
    limits.pools_and_the_coordinators_cap_are_listed_and_set,
    journeys.a_viewer_is_told_at_most_four_times_a_second,
    safety.nothing_from_the_data_becomes_markup,
    safety.commands_of_other_origins_are_refused_and_nothing_inline_runs,
    journeys.a_worker_is_drained_from_its_page,
    look.screenshots_of_the_sample_jobs,
    speed.the_chart_of_a_million_tasks_is_shown_in_time,
    speed.panning_and_zooming_a_million_tasks_never_blocks,
    speed.the_chart_of_a_million_tasks_says_what_it_shows,
    speed.a_page_stays_small_and_quick_at_twenty_thousand_tasks_a_second,
    speed.the_heap_stays_small_while_tasks_pour_in,
    journeys.a_page_outlives_a_restart_of_the_coordinator,
]


def main() -> int:
    wanted = [test for test in TESTS if not sys.argv[1:] or any(word in test.__name__ for word in sys.argv[1:])]
    failed = 0
    began_all = time.monotonic()
    with Browser() as browser, Cluster() as cluster:
        for test in wanted:
            began = time.monotonic()
            try:
                test(browser, cluster)
                verdict = "ok"
            except Exception:
                failed += 1
                verdict = "FAILED"
                traceback.print_exc()
            print(f"{verdict:>6} {time.monotonic() - began:5.1f} s  {test.__name__}", flush=True)
    fixture.close()
    print(f"{len(wanted) - failed} of {len(wanted)} passed in {time.monotonic() - began_all:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
