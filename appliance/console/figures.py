"""The figures that the SVM gives of itself, in `svm status` and in /metrics: names, kinds, meanings.

In /metrics a figure is `kvmla_<name>`, with `_total` behind a counter. docs/operations.md has this
table for operators.
"""

from typing import Literal, NamedTuple


class Figure(NamedTuple):
    """What a name stands for. A counter only grows, from 0 when the SVM starts."""

    kind: Literal["counter", "gauge"]
    help: str


FIGURES = {
    # guests
    "guests_attached": Figure("gauge", "Guests attached now"),
    "guest_attached": Figure("counter", "Times that a guest attached"),
    "guest_breaches": Figure("counter", "Calls of guests that were ended for breaking a rule or a limit"),
    "guest_slowed": Figure("counter", "Messages of guests that had to wait because they came too fast"),
    "guest_tickets_refused": Figure(
        "counter",
        "Callers on a unix socket that got no ticket: too many, or at the administrators' none of them",
    ),
    "guest_uploads": Figure("counter", "Uploads that guests began"),
    "guest_uploads_refused": Figure("counter", "Uploads that were not accepted"),
    "calls_unauthenticated": Figure("counter", "Calls that were ended since nobody vouched for who called"),
    "calls_denied": Figure("counter", "Calls that were ended since the caller's role may not make them"),
    # what was over a bound, by its setting: limits.<name>, or limits.tenant.<name>
    "guest_over_admin_calls": Figure(
        "counter", "Commands that were refused: administrators had too many under way"
    ),
    "guest_over_admin_connections": Figure(
        "counter", "Looks, one a second, that found all connections of an administrators' door taken"
    ),
    "guest_over_admin_ending": Figure(
        "counter", "Commands that were refused: too many that revoke or remove were under way"
    ),
    "guest_over_connections": Figure(
        "counter", "Looks, one a second, that found all connections of the guests' door taken"
    ),
    "guest_over_connections_per_address": Figure("counter", "Connections closed: too many of one address"),
    "guest_over_digests_per_second": Figure("counter", "Messages that waited: a guest asked too much"),
    "guest_over_enrolment_connections": Figure(
        "counter", "Looks, one a second, that found all connections of the enrolment's door taken"
    ),
    "guest_over_event_readers": Figure("counter", "Commands that were refused: too many read events"),
    "guest_over_events_per_second": Figure("counter", "Messages that waited: a guest told too much"),
    "guest_over_file_readers": Figure("counter", "Commands that were refused: too many listed guests' files"),
    "guest_over_first_places": Figure(
        "counter", "Commands that were refused of who had none under way: all first places were taken too"
    ),
    "guest_over_guest_spool_mib": Figure("counter", "Uploads that got no room in time"),
    "guest_over_health_calls": Figure(
        "counter", "Calls to health and reflection that made way for later ones: too many at once"
    ),
    "guest_over_images": Figure("counter", "Disk images that were refused: too many were looked at"),
    "guest_over_max_file_mib": Figure("counter", "Uploads of files that are too large"),
    "guest_over_max_guests": Figure("counter", "Guests that were refused: all places were taken"),
    "guest_over_message_kib": Figure("counter", "Messages that were too large"),
    "guest_over_messages_per_second": Figure("counter", "Messages that waited: a guest sent too many"),
    "guest_over_open_checks": Figure("counter", "Streams that ended: a guest had too many requests open"),
    "guest_over_open_digests": Figure("counter", "Digests that were not taken: a guest had too many open"),
    "guest_over_open_urls": Figure(
        "counter", "Web addresses that were not answered: a guest had too many open"
    ),
    "guest_over_reader_stall_seconds": Figure("counter", "Streams that ended: a guest took no answers"),
    "guest_over_scan_readers": Figure("counter", "Commands that were refused: too many looked at scans"),
    "guest_over_scan_streams": Figure("counter", "Streams that were refused: a program had too many uploads"),
    "guest_over_sessions": Figure("counter", "Programs that were refused: a guest had too many attached"),
    "guest_over_upload_mib_per_second": Figure("counter", "Messages that waited: a guest sent too much"),
    "guest_over_upload_stall_seconds": Figure("counter", "Streams that ended: an upload stood still"),
    "guest_over_urls_per_second": Figure(
        "counter", "Web addresses that were not answered: a guest asked too much"
    ),
    "tenant_over_admin_calls": Figure(
        "counter",
        "Commands that were refused: a tenant, or one auditor or host agent, had too many under way",
    ),
    "tenant_over_digests_per_second": Figure("counter", "Messages that waited: a tenant asked too much"),
    "tenant_over_event_readers": Figure(
        "counter", "Commands that were refused: a tenant, or one auditor or host agent, read events too often"
    ),
    "tenant_over_events_per_second": Figure("counter", "Messages that waited: a tenant told too much"),
    "tenant_over_file_readers": Figure(
        "counter", "Commands that were refused: a tenant, or one auditor, listed guests' files too often"
    ),
    "tenant_over_guests": Figure("counter", "Guests that were refused: their tenant had too many attached"),
    "tenant_over_images": Figure(
        "counter", "Disk images that were refused: one host agent had too many looked at"
    ),
    "tenant_over_open_checks": Figure("counter", "Streams that ended: a tenant had too many requests open"),
    "tenant_over_open_digests": Figure("counter", "Digests that were not taken: a tenant had too many open"),
    "tenant_over_scan_readers": Figure(
        "counter",
        "Commands that were refused: a tenant, or one auditor or host agent, looked at scans too often",
    ),
    "tenant_over_upload_mib_per_second": Figure("counter", "Messages that waited: a tenant sent too much"),
    # who is who, where `svm init` was run
    "identity_enrolled": Figure("counter", "Guests that enrolled"),
    "identity_renewed": Figure("counter", "Certificates that guests renewed"),
    "identity_ended": Figure("counter", "Guests and certificates that administrators revoked or removed"),
    "identity_cloned": Figure(
        "counter", "Guests whose certificates ended because they were in two places at once"
    ),
    "identity_other_machine": Figure(
        "counter", "Times that a guest's certificate was shown by another machine"
    ),
    "identity_tokens": Figure("counter", "Tokens that were made for enrolments"),
    "identity_tokens_withdrawn": Figure("counter", "Tokens that an administrator took back"),
    "identity_tokens_refused": Figure(
        "counter", "Enrolments that were refused because the token did not count"
    ),
    "identity_over_enrolments_at_once": Figure(
        "counter", "Enrolments and renewals that made way for later ones: too many at once"
    ),
    "identity_over_enrolments_per_connection": Figure(
        "counter", "Enrolments and renewals that were refused: a connection had too many open"
    ),
    "identity_over_enrolments_per_minute": Figure(
        "counter", "Enrolments that were refused: an address tried too many"
    ),
    "identity_over_renewals_per_hour": Figure(
        "counter", "Renewals that were refused: a guest asked for too many"
    ),
    "identity_over_tenant_guests": Figure(
        "counter", "Enrolments that were refused: their tenant has too many guests"
    ),
    "identity_over_tenant_tokens": Figure("counter", "Tokens that were not made: their tenant has too many"),
    "identity_over_agent_tokens": Figure(
        "counter", "Tokens that were not made: their host agent has too many"
    ),
    "identity_no_room": Figure(
        "counter", "Tokens, enrolments and certificates that were refused: the register was full"
    ),
    "identity_malformed": Figure("counter", "Enrolments and renewals that broke a rule"),
    "identity_unwritable": Figure(
        "counter", "Enrolments, renewals and other changes of who is who that could not be written"
    ),
    "identity_server_ends_seconds": Figure(
        "gauge", "When the SVM's own certificate ends, in seconds since 1970"
    ),
    # answers
    "protection_digests": Figure("counter", "Digests that guests asked about"),
    "protection_hits": Figure("counter", "Digests that were answered at once"),
    "protection_detected": Figure("counter", "Digests of which a guest was told that a threat was found"),
    "protection_overridden": Figure("counter", "Digests that an administrator's override answered"),
    "protection_contents": Figure("counter", "Contents that came whole and went to the scanner"),
    "protection_content_bytes": Figure(
        "counter", "Bytes of contents that came whole and went to the scanner"
    ),
    "flights": Figure("gauge", "Contents that are being sent or scanned now, each once for all guests"),
    "flights_waiting": Figure("gauge", "Questions of guests that wait for such a content now"),
    "leases_passed_on": Figure("counter", "Times that a guest did not deliver and another was asked"),
    "spool_used_bytes": Figure("gauge", "Memory that contents on their way take now"),
    "spool_waiting": Figure("gauge", "Uploads that wait for memory now"),
    # scans
    "scans": Figure("counter", "Contents that engines answered"),
    "engine_bytes": Figure("counter", "Bytes of contents given to engines, each content once"),
    "scan_seconds": Figure("counter", "Seconds that workers took for scans, all workers together"),
    "scans_refused": Figure("counter", "Scans that were refused because too many waited or no worker starts"),
    "damaged_containers": Figure("counter", "Containers that could be unpacked in part only"),
    "queued": Figure("gauge", "Contents that wait for a worker now"),
    "queued_on_access": Figure("gauge", "Those of them that somebody's open waits for"),
    "busy": Figure("gauge", "Workers that scan now"),
    "workers": Figure("gauge", "Workers that there should be"),
    "workers_ready": Figure("gauge", "Workers that are ready"),
    "worker_crashes": Figure("counter", "Workers that died during a scan"),
    "worker_timeouts": Figure("counter", "Workers that were ended because a scan took too long"),
    "held_digests": Figure("gauge", "Contents that are not scanned for a while because they broke workers"),
    "reloads": Figure("counter", "Times that signatures were read anew"),
    "ends_malicious": Figure("counter", "Scans that ended as MALICIOUS"),
    "ends_suspicious": Figure("counter", "Scans that ended as SUSPICIOUS"),
    "ends_not_detected": Figure("counter", "Scans that ended as NOT_DETECTED"),
    "ends_too_large": Figure("counter", "Scans that ended as TOO_LARGE"),
    "ends_timed_out": Figure("counter", "Scans that ended as TIMED_OUT"),
    "ends_engine_error": Figure("counter", "Scans that ended as ENGINE_ERROR"),
    "ends_encrypted": Figure("counter", "Scans that ended as ENCRYPTED"),
    "ends_overloaded": Figure("counter", "Scans that ended as OVERLOADED"),
    # scans of whole guests
    "scan_orders": Figure("counter", "Scans of guests that administrators ordered"),
    "scan_orders_ended": Figure("counter", "Such scans that ended, in whatever way"),
    "scan_orders_open": Figure("gauge", "Such scans that are not over"),
    "scan_slots": Figure("gauge", "Scans of guests that may look at files at once now"),
    "scan_slots_most": Figure("gauge", "As many as may without any pressure"),
    "scan_slots_used": Figure("gauge", "Scans of guests that have a slot"),
    "scan_slots_waiting": Figure("gauge", "Scans of guests that wait for one"),
    "pressure_cpu": Figure("gauge", "Percent of the last 10 s in which something waited for a processor"),
    "pressure_io": Figure("gauge", "Percent of the last 10 s in which something waited for a disk"),
    "pressure_memory": Figure("gauge", "Percent of the last 10 s in which something waited for memory"),
    "pressure_steal": Figure("gauge", "Percent of its processors' time that the host gave to others"),
    "pressure_level": Figure("gauge", "How near the pressure is to the limits that take slots; 1: reached"),
    # the verdict cache
    "cache_entries": Figure("gauge", "Verdicts in the cache"),
    "cache_used_bytes": Figure("gauge", "Bytes of the cache that verdicts take"),
    "cache_map_bytes": Figure("gauge", "Bytes that the cache may take"),
    "cache_file_bytes": Figure("gauge", "Bytes of the cache's file"),
    "cache_pending": Figure("gauge", "Verdicts that wait to be written"),
    "cache_distinct_records": Figure("gauge", "Different records that are kept decoded in memory"),
    "cache_damaged_records": Figure("counter", "Damaged records that were dropped"),
    "cache_expired_dropped": Figure("counter", "Verdicts that were dropped because their time was over"),
    "cache_stale_dropped": Figure("counter", "Verdicts of other signatures that made way"),
    "cache_evicted": Figure("counter", "Verdicts that made way because the cache was full"),
    "cache_writes_lost": Figure("counter", "Verdicts that could not be written; they are earned anew"),
    "cache_failed_commits": Figure("counter", "Times that the cache could not be written"),
    "cache_set_aside": Figure("counter", "Cache files that were damaged and set aside"),
    # the state
    "audit_dropped": Figure("counter", "Entries of the audit that made way for newer ones"),
    # events
    "events_svm_start": Figure("counter", "Events kept of the SVM's starts"),
    "events_svm_stop": Figure("counter", "Events kept of its being told to stop"),
    "events_attach": Figure("counter", "Events kept of guests that attached"),
    "events_detach": Figure("counter", "Events kept of guests that went"),
    "events_detection": Figure("counter", "Events kept of detections, by the SVM's own word or a guest's"),
    "events_detection_said": Figure("counter", "Those of them that are a guest's word alone"),
    "events_outbreak": Figure("counter", "Events kept of outbreaks"),
    "events_override": Figure("counter", "Events kept of overrides that were set, cleared or ended"),
    "events_policy": Figure("counter", "Events kept of policies that changed"),
    "events_generation": Figure("counter", "Events kept of signatures that changed"),
    "events_scan_order": Figure("counter", "Events kept of scans that administrators ordered"),
    "events_scan_end": Figure("counter", "Events kept of such scans that ended"),
    "events_revocation": Figure("counter", "Events kept of digests whose answers count no more"),
    "events_identity": Figure("counter", "Events kept of tokens, enrolments and certificates"),
    "events_clone": Figure("counter", "Events kept of certificates that were shown where they do not belong"),
    "events_vm_unprotected": Figure("counter", "Events kept of machines that were left unprotected"),
    "events_vm_protected": Figure("counter", "Events kept of such machines that are protected again"),
    "events_vm_isolated": Figure("counter", "Events kept of machines that were cut off from their networks"),
    "events_vm_released": Figure("counter", "Events kept of machines that got their networks back"),
    "events_vm_enrolled": Figure("counter", "Events kept of machines that enrolled by their host's word"),
    "events_image_scanned": Figure("counter", "Events kept of disk images that were scanned from outside"),
    "events_image_detection": Figure(
        "counter", "Events kept of malicious or suspicious files that lie on one"
    ),
    "events_loss": Figure("counter", "Events kept that tell of events that were not"),
    "events_action": Figure("counter", "Events kept of what guests say they did to files"),
    "events_fallback": Figure("counter", "Events kept of guests that answered by their fail mode"),
    "events_overflow": Figure("counter", "Events kept of guests whose queue overflowed"),
    "events_stub_start": Figure("counter", "Events kept of guests' daemons that started"),
    "events_stub_stop": Figure("counter", "Events kept of guests' daemons that stopped"),
    "events_note": Figure("counter", "Events kept of guests, of a kind that this SVM does not know"),
    "events_stored": Figure("gauge", "Events that are kept"),
    "events_stored_bytes": Figure("gauge", "Bytes that they take"),
    "events_waiting": Figure("gauge", "Events that wait to be written"),
    "events_lost": Figure(
        "counter", "Events of the SVM that were lost because too many waited to be written"
    ),
    "events_over_budget": Figure("counter", "Events that were not kept because one guest caused too many"),
    "events_aged_out": Figure("counter", "Events that made way, by age or by size"),
    "events_failing": Figure("gauge", "1 while events cannot be written"),
    # who holds what
    "exposure_digests": Figure("gauge", "Digests of which it is known which guests hold them"),
    "exposure_used_bytes": Figure("gauge", "Bytes that this takes"),
    "exposure_guests": Figure("gauge", "Guests that are, or were, here"),
    "exposure_waiting": Figure("gauge", "Digests that guests asked about and that wait to be entered, about"),
    "exposure_new": Figure("counter", "Times that a guest held a digest that it was not known to hold"),
    "exposure_dropped": Figure("counter", "Digests of guests that were not entered, for want of room"),
    "exposure_aged_out": Figure(
        "counter", "Times that it was forgotten who holds a digest, by age or for want of room"
    ),
    "exposure_failing": Figure("gauge", "1 while it cannot be written who holds what"),
    # virtual machines, by the word of host agents
    "vms": Figure("gauge", "Virtual machines that the hosts have, running or not"),
    "vms_protected": Figure("gauge", "Those of them that are protected"),
    "vms_silent": Figure("gauge", "Those that have enrolled, and whose stub is not attached"),
    "vms_not_enrolled": Figure("gauge", "Those that run and have not enrolled"),
    "vms_off": Figure("gauge", "Those that are off"),
    "vms_excluded": Figure("gauge", "Those that are not to be protected"),
    "vms_svm": Figure("gauge", "Those that are security virtual machines"),
    "vms_hosts": Figure("gauge", "Hosts that a host agent has told of"),
    "vms_hosts_silent": Figure("gauge", "Those of them of which nothing was told recently"),
    # web addresses
    "web_asked": Figure("counter", "Web addresses that guests asked about"),
    "web_listed": Figure("counter", "Web addresses that a list at home answered"),
    "web_known": Figure("counter", "Web addresses that KSN knew"),
    "web_unknown": Figure("counter", "Web addresses that nobody knew"),
    "web_list_entries": Figure("gauge", "Web addresses and hosts that the lists at home have"),
    # KSN, where the provider has enabled it
    "ksn_asked": Figure("counter", "Digests that KSN was to be asked about"),
    "ksn_known": Figure("counter", "Answers of KSN that said something of a digest"),
    "ksn_unknown": Figure("counter", "Answers of KSN that said nothing of a digest"),
    "ksn_unanswered": Figure("counter", "Digests about which no answer came in time"),
    "ksn_not_worth_asking": Figure(
        "counter", "Digests that KSN was not asked about, for want of room or of use"
    ),
    "ksn_over_share": Figure(
        "counter", "Questions that were not asked since their guest had used its share of the quota"
    ),
    "ksn_flipped": Figure("counter", "Digests of which KSN told that it says something else now"),
    "ksn_under_way": Figure("gauge", "Subjects that KSN is asked about now"),
    "ksn_ledger_entries": Figure("counter", "Entries that were written to the disclosure ledger"),
    "ksn_ledger_failing": Figure(
        "gauge", "1 while the disclosure ledger cannot be written, so that nothing is sent"
    ),
    "ksn_usable": Figure(
        "gauge", "0 while the breaker, the quota or refused credentials keep KSN from being asked"
    ),
    "ksn_quota_left": Figure("gauge", "Requests that are left of the day's quota"),
    "ksn_changes": Figure("counter", "Changes that the service told of"),
    "ksn_changes_lost": Figure(
        "counter", "Times that changes were missed, since the service keeps them no more"
    ),
    "ksn_later_noted": Figure(
        "counter", "Digests that were noted to be asked about later, since KSN gave no answer"
    ),
    "ksn_later_asked": Figure("counter", "Questions about them that were put to KSN"),
    "ksn_later_answered": Figure("counter", "Answers to those"),
    "ksn_later_dropped": Figure("counter", "Digests of them that were dropped for want of room"),
    "ksn_later_waiting": Figure("gauge", "Digests that wait to be asked about later"),
    "ksn_results_asked": Figure("counter", "Times that it was asked what became of content"),
    "ksn_results_decided": Figure("counter", "Answers to that which decided something"),
    "ksn_submit_queued": Figure("counter", "Contents that were put into the queue for analysis"),
    "ksn_submit_sent": Figure("counter", "Contents, or parts of them, that were handed over"),
    "ksn_submit_sent_bytes": Figure("counter", "Bytes of them"),
    "ksn_submit_over_budget": Figure(
        "counter", "Contents that were not handed over since the day's budget was spent"
    ),
    "ksn_submit_no_room": Figure("counter", "Contents that were not handed over since the queue was full"),
    "ksn_submit_withdrawn": Figure(
        "counter", "Contents that were dropped since their tenant takes part no more"
    ),
    "ksn_submit_failed": Figure("counter", "Contents that the service did not take"),
}
