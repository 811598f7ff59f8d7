//! The sentences of the traits, each as a test of every store.
//!
//! `store_conformance!(S)` makes a module of tests for the store `S`, which is a `Subject`.

pub(crate) mod directory;
pub(crate) mod mailboxes;
pub(crate) mod whole;

/// The tests of all stores.
macro_rules! store_conformance {
    ($subject:ty) => {
        mod directory {
            store_conformance!(@tests $subject, directory:
                what_is_published_is_handed_out,
                an_older_card_does_not_replace_a_newer_one,
                devices_of_an_agent_are_apart,
                a_page_is_taken_once,
                a_page_that_is_used_up_stays_known,
                usable_pages_have_a_bound,
                keys_go_out_in_the_order_of_pages_and_ids,
                the_same_nonce_gets_the_same_keys_for_a_day,
                fifty_keys_are_claimed_once_by_sixty_four_at_a_time,
                a_repeated_claim_takes_nothing_however_many_repeat_it_at_a_time,
                keys_of_an_expired_page_are_not_handed_out,
                a_claim_brings_what_is_left_of_either_kind,
                a_drained_device_drains_no_other,
                a_claim_says_whom_to_tell,
            );
        }
        mod mailboxes {
            store_conformance!(@tests $subject, mailboxes:
                a_mailbox_is_made_once,
                an_entrance_follows_revocations,
                single_revocations_have_a_bound,
                a_batch_is_answered_one_by_one_in_order,
                sequences_ascend_from_one_and_are_never_given_again,
                a_message_id_is_taken_once,
                an_id_is_remembered_as_long_as_its_message_would_have_lived,
                remembered_ids_have_a_bound_and_the_oldest_go,
                a_mailbox_of_a_thousand_messages_is_full_and_no_other,
                a_mailbox_of_sixteen_mebibytes_is_full,
                a_token_has_a_bound_and_starves_no_other,
                a_flooded_mailbox_starves_no_other,
                an_answer_has_a_hundred_messages_or_a_mebibyte,
                messages_are_there_for_their_lifetime,
                an_acknowledgement_is_of_one_mailbox,
                a_closed_mailbox_is_gone,
                senders_at_a_time_get_sequences_without_gaps,
            );
        }
        mod whole {
            store_conformance!(@tests $subject, whole:
                a_nonce_is_spent_once,
                the_mark_never_moves_back,
                what_there_is_is_counted,
                a_sweep_removes_messages_that_have_expired,
                a_sweep_removes_mailboxes_that_nobody_reads,
                a_sweep_removes_devices_and_pages_that_are_over,
                a_sweep_removes_nonces_that_are_too_old,
                a_restart_changes_nothing,
                debug_shows_nothing_that_is_kept,
            );
        }
    };
    (@tests $subject:ty, $module:ident: $($name:ident,)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $name() {
            crate::store::tests::conformance::$module::$name(<$subject as crate::store::tests::fixtures::Subject>::new()).await;
        }
    )*};
}
