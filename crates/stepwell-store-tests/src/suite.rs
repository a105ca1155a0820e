//! Every case by name, and how a store becomes a module of tests.

use crate::{fixture::Fixture, fixture::Step, invariants, world::World};

/// Runs one case on a fresh store, and checks every invariant on what it leaves behind.
pub fn run<Open>(open: impl FnOnce() -> Open, case: impl for<'a> FnOnce(&'a mut World) -> Step<'a, ()>)
where
    Open: Future<Output = Box<dyn Fixture>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime for the case").block_on(async {
        let mut world = World::new(open().await);
        case(&mut world).await;
        invariants::hold(&world).await;
    });
}

/// Makes a test of each case: `suite!(crate::open)`, where `open` is an async function that answers a fresh
/// [`Fixture`] in a box.
#[macro_export]
macro_rules! suite {
    ($open:path) => {
        $crate::cases! { [$crate::tests] $open }
    };
}

/// One module for each topic, and in it one test for each case.
#[macro_export]
macro_rules! tests {
    ([$open:path] $($topic:ident: $($case:ident)+;)+) => {
        $(mod $topic {
            $(#[test]
            fn $case() {
                $crate::run($open, |world| Box::pin($crate::cases::$topic::$case(world)));
            })+
        })+
    };
}

/// The list: what is not here is not run.
#[macro_export]
macro_rules! cases {
    ([$($each:tt)+] $($with:tt)*) => {
        $($each)+! {
            [$($with)*]
            cancel:
                cancel_pending_job_closes_its_phases
                a_scheduled_job_can_be_cancelled
                a_waiting_retry_can_be_cancelled
                a_running_job_is_asked_to_stop
                a_second_request_changes_nothing
                an_ended_job_is_not_cancelled
                a_job_that_does_not_exist_cannot_be_cancelled
                an_acknowledged_cancellation_ends_the_job
                nothing_is_acknowledged_that_was_not_asked_for
                cancel_on_boundary_emits_one_event
                the_result_of_a_boundary_is_kept
                completion_of_the_last_phase_wins
                a_failure_while_cancelling_is_a_cancellation
                a_snooze_while_cancelling_is_a_cancellation
                a_release_while_cancelling_is_a_cancellation
                no_phase_starts_while_cancelling
                a_cancelling_owner_may_still_say_what_it_did
                force_comes_at_the_deadline_and_not_before
                a_dead_owner_ends_a_cancellation_at_once
                a_version_that_is_old_cancels_nothing;
            claim:
                a_claim_starts_the_first_phase
                a_job_of_an_unknown_plan_gets_it_at_its_claim
                a_claimed_job_is_not_claimed_again
                higher_priority_comes_first
                within_a_priority_the_earlier_time_comes_first
                at_the_same_time_the_first_stored_comes_first
                kinds_of_one_queue_share_one_order
                a_lane_gets_no_more_than_it_has_room_for
                tokens_bound_a_claim
                a_paused_queue_gives_nothing
                a_paused_queue_does_not_stop_what_runs
                an_unknown_kind_is_left_alone
                an_older_plan_leaves_jobs_of_a_newer_one
                a_job_of_an_older_plan_moves_to_the_newer_at_its_claim
                an_expired_job_is_not_claimed
                expired_jobs_do_not_stand_in_the_way
                jobs_of_a_newer_plan_do_not_stand_in_the_way
                a_job_is_claimed_up_to_its_expiry
                nothing_is_claimed_before_its_time
                a_claim_says_when_the_next_job_is_due
                a_dead_session_claims_nothing
                a_session_that_never_was_claims_nothing
                a_job_that_had_completed_a_phase_is_resumed
                a_job_that_failed_in_its_first_phase_is_started_again
                a_job_moves_to_the_queue_of_its_first_phase
                a_moved_job_is_claimed_by_a_later_lane_of_the_same_request
                a_plan_that_ends_before_the_jobs_position_completes_it
                many_workers_share_the_jobs;
            enqueue:
                a_job_has_the_defaults
                every_field_is_kept
                a_payload_is_kept_byte_for_byte
                a_large_payload_is_kept
                enqueueing_says_so
                a_scheduled_job_says_when
                a_time_in_the_past_means_now
                a_job_is_bound_to_the_newest_plan
                a_first_phase_with_a_queue_of_its_own_decides_where_the_job_waits
                a_batch_is_answered_in_order
                one_refused_job_keeps_no_other_from_being_stored
                an_id_is_taken_once
                a_refused_id_leaves_no_name_behind
                an_id_given_twice_in_one_batch_is_taken_once
                a_payload_over_the_limit_is_refused
                a_payload_with_the_null_character_is_refused
                a_payload_that_is_nested_too_deep_is_refused
                an_empty_kind_is_refused
                a_kind_over_the_limit_is_refused
                a_queue_with_a_control_character_is_refused
                a_unique_key_over_the_limit_is_refused
                too_many_tags_are_refused
                a_tag_over_the_limit_is_refused
                too_many_attributes_are_refused
                an_attribute_over_the_limit_is_refused
                a_delay_of_more_than_a_century_is_refused
                no_crashes_at_all_are_refused
                names_at_their_limits_are_kept;
            events:
                positions_are_dense_and_in_commit_order
                a_jobs_own_order_has_no_gap
                a_history_can_be_read_from_anywhere
                a_history_can_be_read_piece_by_piece
                one_commits_events_can_be_read_from_their_middle
                pages_join_without_loss
                a_page_without_a_match_still_moves_on
                the_end_of_the_log_stays_the_end
                an_empty_log_has_no_head
                a_cursor_of_another_log_can_be_told
                events_are_found_by_job
                events_are_found_by_kind
                events_are_found_by_the_queue_of_their_time
                events_are_found_by_type
                filters_join
                internal_kinds_are_hidden_unless_asked_for
                a_refused_operation_says_nothing
                a_request_without_commands_changes_nothing
                events_carry_the_time_and_attempt_of_their_commit
                listeners_are_told_of_commits;
            expiry:
                a_waiting_job_expires
                a_scheduled_job_can_expire_before_it_is_due
                a_job_that_waits_for_its_next_try_expires
                an_expired_job_of_an_unknown_kind_is_closed
                many_expire_over_several_passes
                maintenance_of_nothing_does_nothing;
            explain:
                a_scheduled_job_is_explained
                a_waiting_retry_is_explained
                a_paused_queue_is_explained
                an_expired_job_is_explained
                a_missing_worker_is_explained
                an_older_worker_is_explained
                a_full_queue_is_explained
                the_jobs_ahead_are_counted
                a_running_job_is_explained
                an_ended_job_is_explained;
            failures:
                a_failed_try_waits_for_the_next
                the_listed_delays_are_exact
                the_exponential_delay_is_jittered_within_its_bounds
                a_named_delay_is_taken_as_it_is
                a_permanent_error_ends_the_job
                the_last_try_ends_the_job
                a_named_delay_spends_a_try_too
                each_phase_has_tries_of_its_own
                an_errors_text_is_cut
                a_phase_that_does_not_run_cannot_fail
                a_snooze_is_no_failure
                any_number_of_snoozes_spends_nothing
                a_snooze_keeps_the_checkpoint
                a_release_charges_nothing
                a_phases_end_fuses_with_a_release;
            inbox:
                a_row_becomes_a_job
                every_column_is_understood
                a_row_may_name_a_time
                rows_are_taken_in_in_their_order
                a_second_row_with_the_same_id_is_the_same_job
                a_row_that_comes_again_does_not_bring_a_deleted_job_back
                a_wrong_row_with_a_known_id_does_not_hide_the_job
                a_right_row_after_a_wrong_one_with_its_id_counts
                a_row_with_the_id_of_an_enqueued_job_is_that_job
                an_idempotency_key_makes_an_alias
                a_refused_row_does_not_use_up_its_idempotency_key
                a_row_that_comes_again_is_the_first_one_whatever_key_it_has
                a_unique_key_makes_an_alias
                a_row_of_another_version_is_refused
                a_row_without_a_version_is_refused
                a_row_without_a_kind_is_refused
                a_row_with_an_empty_kind_is_refused
                a_row_without_a_payload_is_refused
                a_row_whose_payload_is_not_json_is_refused
                a_row_whose_payload_is_too_long_is_refused
                a_row_with_the_null_character_is_refused
                a_row_that_is_nested_too_deep_is_refused
                a_row_with_a_wrong_queue_is_refused
                a_row_with_a_priority_out_of_range_is_refused
                a_row_with_a_negative_delay_is_refused
                a_row_with_two_times_is_refused
                a_row_with_a_long_unique_key_is_refused
                a_row_whose_tags_are_no_list_is_refused
                a_row_whose_attributes_are_no_object_is_refused
                a_row_with_a_long_idempotency_key_is_refused
                a_row_whose_id_is_no_uuid_does_not_stand_in_the_way
                the_inbox_is_taken_in_before_sessions_are_reaped
                a_full_inbox_takes_several_passes
                an_id_that_never_was_in_the_inbox_has_no_outcome
                an_outcome_outlives_its_job;
            leases:
                a_wrong_token_can_change_nothing
                a_wrong_epoch_can_change_nothing
                no_fence_at_all_can_do_nothing_of_an_owners
                an_owner_of_nothing_has_lost_it
                a_zombie_can_change_nothing_after_the_job_was_claimed_again
                a_zombie_can_change_nothing_when_its_own_session_claims_again
                a_reaper_compares_the_epoch
                a_reaper_compares_the_session
                a_reaper_needs_its_fence
                a_dead_sessions_job_waits_again
                restart_keeps_interrupted_phase_context
                crashes_are_counted_apart_from_tries
                a_job_that_kills_its_workers_is_poisoned
                later_crashes_wait_longer
                the_pause_after_a_crash_is_jittered
                a_sign_of_life_forgives_crashes
                an_element_is_a_sign_of_life
                a_failed_try_forgives_crashes
                a_crash_between_phases_interrupts_none
                one_dead_session_gives_up_all_it_owned
                a_live_session_keeps_what_it_owns
                what_a_session_owns_says_who_was_asked_to_stop;
            lifetime:
                a_store_describes_itself
                the_stores_clock_decides
                a_closed_store_says_so
                a_second_close_is_no_error
                everything_acknowledged_survives_a_restart;
            lists:
                the_newest_comes_first_unless_asked_otherwise
                a_listed_job_is_the_whole_row
                jobs_are_found_by_state
                jobs_are_found_by_kind
                jobs_are_found_by_queue
                jobs_are_found_by_tag
                jobs_are_found_by_attribute
                jobs_are_found_by_unique_key
                filters_join
                internal_kinds_are_hidden_unless_asked_for
                pages_from_the_oldest_are_stable_under_inserts
                pages_from_the_newest_are_stable_under_inserts
                filtered_pages_are_stable_under_inserts
                a_deleted_job_does_not_disturb_the_pages
                a_limit_is_kept_within_its_bounds
                a_rare_match_is_found_beyond_one_scan
                counts_tell_queues_kinds_and_states_apart
                counts_follow_a_job_through_its_life;
            operator:
                partial_retry_keeps_completed_results
                a_retry_from_the_start_runs_everything_again
                a_retry_from_a_phase_keeps_what_comes_before_it
                a_retry_from_a_phase_that_is_not_there_names_those_that_are
                results_are_archived_run_by_run
                a_retry_keeps_checkpoints_and_elements_of_what_did_not_complete
                a_retry_may_bring_a_new_payload
                a_cancelled_job_can_be_retried
                an_expired_job_can_be_retried
                a_live_job_cannot_be_retried
                a_completed_job_runs_again_only_when_told_so
                a_retry_goes_to_the_queue_of_the_phase_that_is_due
                a_waiting_jobs_payload_can_be_edited
                a_waiting_jobs_priority_can_be_edited
                a_waiting_jobs_queue_can_be_edited
                a_waiting_jobs_time_can_be_edited
                a_waiting_jobs_tags_can_be_edited
                a_waiting_jobs_attributes_can_be_edited
                an_edit_over_a_limit_is_refused
                only_waiting_jobs_can_be_edited
                an_edit_compares_the_version
                a_deleted_job_is_gone
                a_deletion_says_only_the_id
                a_live_job_cannot_be_deleted
                a_job_stored_after_a_deletion_does_not_inherit_anything
                a_webhooks_end_is_recorded_on_any_state;
            phases:
                a_job_runs_through_its_phases
                a_completed_phase_says_its_hash
                a_small_result_is_kept_in_the_row
                results_around_the_inline_limit_are_kept_byte_for_byte
                what_has_no_result_has_none
                a_result_over_the_limit_is_refused
                a_value_that_is_nested_too_deep_is_refused
                a_result_with_the_null_character_is_refused
                a_phase_that_does_not_run_cannot_end
                a_second_phase_does_not_start_beside_the_first
                a_phase_of_another_queue_hands_the_job_over
                a_checkpoint_is_replaced_and_goes_with_the_phases_end
                checkpoints_belong_to_the_running_phase
                elements_are_kept_in_order_until_the_phase_ends
                many_elements_of_one_request_are_one_commit
                an_element_over_the_limit_is_refused
                elements_survive_a_failed_try
                progress_is_shown_and_said
                a_long_note_is_cut_at_a_character
                log_lines_are_kept_in_order
                the_oldest_log_lines_go
                a_long_log_line_is_cut
                a_renamed_phase_keeps_its_data
                a_phase_inserted_behind_the_position_is_skipped;
            plans:
                the_first_plan_is_of_the_first_generation
                the_same_plan_keeps_its_generation
                a_changed_plan_is_of_a_newer_generation
                a_new_retry_policy_replaces_the_plan_in_its_place
                a_rollback_is_of_a_newer_generation
                an_old_node_that_restarts_in_a_rolling_deploy_keeps_its_place
                kinds_have_generations_of_their_own
                a_wrong_plan_is_refused_by_name
                one_wrong_plan_registers_none
                the_longest_plan_is_kept;
            queues:
                a_queue_that_nobody_set_has_no_record
                a_queues_record_is_kept_and_replaced
                only_the_paused_queue_stands_still
                a_paused_queue_still_takes_jobs_in
                a_queue_survives_a_restart;
            retention:
                completed_jobs_go_by_age
                failed_jobs_go_by_age
                cancelled_jobs_go_by_age
                completed_jobs_go_by_count
                failed_jobs_go_by_count
                cancelled_jobs_go_by_count
                completed_jobs_go_by_age_and_count_together
                failed_jobs_go_by_age_and_count_together
                each_state_has_a_limit_of_its_own
                live_jobs_are_kept_for_ever
                keeping_everything_removes_nothing
                a_retried_job_counts_from_its_last_end
                retention_goes_on_after_its_own_deletions
                events_go_from_the_beginning_and_raise_the_floor
                events_of_a_live_job_go_too
                events_go_by_count
                positions_go_on_after_every_event_has_gone;
            sessions:
                an_open_session_is_listed_as_it_was_given
                a_beat_keeps_a_session_alive
                a_session_that_does_not_beat_dies
                death_is_final
                the_dead_stay_dead_when_others_have_taken_their_place
                a_late_beat_saves_a_session_that_nobody_found_dead
                whoever_asks_is_not_found_dead_by_himself
                a_session_that_never_was_is_not_alive
                a_closed_session_is_dead
                what_a_closed_session_still_owned_is_reaped
                an_owner_whose_session_died_still_owns_what_nobody_took
                many_jobs_of_a_dead_session_take_several_passes
                a_claim_holds_no_more_than_its_limit;
            settings:
                a_record_is_kept_as_it_was_written
                records_are_listed_by_key_page_by_page
                a_write_on_something_else_than_was_seen_changes_nothing
                a_version_never_comes_twice
                a_record_over_the_limit_is_refused
                records_outlive_the_process
                a_request_that_comes_again_is_answered_with_the_same_job
                a_request_counts_once_although_its_job_is_gone
                a_request_counts_once_for_a_day
                a_refused_request_does_not_use_up_its_key
                a_jobs_webhook_is_kept_apart_from_its_row
                events_of_a_job_with_a_webhook_can_be_found
                a_jobs_webhook_is_forgotten_with_the_last_that_needs_it
                retention_forgets_the_webhooks_of_jobs
                nothing_is_deleted_that_a_durable_reader_has_yet_to_read
                a_fan_out_happens_once
                a_fan_out_that_fails_leaves_nothing_behind
                a_fan_out_by_outdated_records_does_not_happen
                a_fan_out_reports_on_jobs_that_are_still_there;
            unique:
                a_live_job_stands_for_its_key
                other_keys_are_other_jobs
                a_key_belongs_to_its_kind
                a_running_job_holds_its_key
                a_completed_job_frees_its_key
                a_failed_job_frees_its_key
                an_ended_job_stands_for_its_key_within_the_window
                the_window_counts_from_the_newest_holder
                a_window_is_of_no_use_to_those_who_ask_without_it
                duplicates_in_one_batch_find_each_other
                a_retry_is_refused_while_another_holds_the_key
                a_deleted_job_stands_for_nothing
                a_waiting_job_takes_on_what_replaces_it
                what_replaces_finds_a_job_of_the_same_batch
                nothing_replaces_a_job_that_does_not_wait
                a_job_in_another_queue_than_is_allowed_is_no_answer
                a_second_job_with_the_key_is_refused_if_that_is_asked_for
                a_replacement_counts_once
                what_happens_on_a_conflict_takes_a_key;
            views:
                the_views_show_what_the_store_shows
                a_view_that_is_wrong_is_caught;
        }
    };
}

#[cfg(test)]
mod tests {
    macro_rules! names {
        ([] $($topic:ident: $($case:ident)+;)+) => {
            [$((include_str!(concat!("cases/", stringify!($topic), ".rs")), &[$(stringify!($case)),+][..])),+]
        };
    }

    #[test]
    fn every_case_is_on_the_list() {
        let mut listed_in_all = 0;
        for (source, listed) in crate::cases! { [names] } {
            let written: Vec<&str> = source
                .lines()
                .filter_map(|line| line.strip_prefix("pub async fn "))
                .filter_map(|line| line.split('(').next())
                .collect();
            assert_eq!(written, listed);
            listed_in_all += listed.len();
        }
        assert!(listed_in_all >= 150, "{listed_in_all} cases");
    }
}
