"""svm policy list|show|create|change|history: whether tenants take part in KSN, and what they decided."""

import argparse
from typing import Any

from lightagent.v1 import admin_pb2, verdict_pb2

from appliance.cli.console import (
    DONE,
    NO,
    CommandError,
    Console,
    add_json_argument,
    add_socket_arguments,
    exit_codes,
    pairs,
    table,
)
from appliance.cli.ksn_statement import ShownStatement, statement_in_force
from appliance.cli.ksn_words import (
    HISTORY_HEAD,
    TEXT_DIGITS,
    history_dict,
    history_row,
    mode_word,
    policy_dict,
    policy_pairs,
    settings_words,
    state_word,
    tenant_name,
)
from appliance.domain.policy import DEFAULT_TENANT, Decision, Mode
from appliance.rpc.ksn_admin import MAX_HISTORY
from appliance.rpc.ksn_views import TYPE_NUMBERS

_DESCRIPTION = """\
The policy of a tenant: whether it takes part in the Kaspersky Security Network (KSN), and in which
mode.

A tenant is whose VMs the SVM protects. Nothing is sent to KSN on behalf of a tenant without a
policy in which the KSN Statement is accepted. `svm ksn statement show` prints that text."""

_LIST_EPILOG = f"""example:
  svm policy list

{exit_codes()}"""

_SHOW_EPILOG = f"""example:
  svm policy show default

{exit_codes("the tenant has no policy")}"""

_CREATE_EPILOG = f"""\
On a terminal it shows the Statement and asks. Elsewhere the decision is given: --ksn accept with
the version of the Statement that was read, or --ksn decline. Without a decision there is no policy.
Without --mode it begins in standard mode; or in the one that the provider has set for all, where he
has locked the mode (svm ksn status). Which it is, is said before the question and printed after it.

examples:
  svm policy create
  svm policy create acme --ksn accept --statement 1 --mode extended
  svm policy create acme --ksn decline

{exit_codes()}"""

_CHANGE_EPILOG = f"""\
What is not named stays as it is. On a terminal and without options it shows the Statement in force,
and asks anew. The change is in force when the command returns: no request starts on the old terms,
and those under way are cancelled.

examples:
  svm policy change acme --ksn decline
  svm policy change acme --active no
  svm policy change acme --documents no
  svm policy change acme --ksn accept --statement 2 --mode standard

{exit_codes()}"""

_HISTORY_EPILOG = f"""\
Everything is kept for good, in one count over all tenants: each decision, with its version and the
first {TEXT_DIGITS} digits of the SHA-256 of the text that was shown, and each change of activity, mode and
documents, as they were after it. --json has all digits. Without TENANT: the history of all tenants.

examples:
  svm policy history
  svm policy history acme --limit 20 --json

{exit_codes()}"""

_NO_TEXT = bytes(32)  # what a decline is about that was given without reading
_MODES = {mode.name.lower(): verdict_pb2.KsnMode.ValueType(int(mode)) for mode in Mode}


def add(commands: Any) -> None:
    """Enter the commands. commands: what argparse's add_subparsers gave."""
    parser = commands.add_parser(
        "policy", help="tenants' policies; who takes part in KSN", description=_DESCRIPTION
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    listing = _add_verb(verbs, "list", "every tenant's policy", _LIST_EPILOG, _list)
    add_json_argument(listing)
    show = _add_verb(verbs, "show", "one tenant's policy", _SHOW_EPILOG, _show)
    _add_tenant(show)
    add_json_argument(show)
    create = _add_verb(verbs, "create", "begin a policy, with the decision on KSN", _CREATE_EPILOG, _create)
    _add_tenant(create)
    _add_decision(create)
    change = _add_verb(verbs, "change", "change a policy, or decide anew", _CHANGE_EPILOG, _change)
    _add_tenant(change)
    _add_decision(change)
    change.add_argument("--active", choices=("yes", "no"), help="no: nothing is sent, whatever was accepted")
    history = _add_verb(verbs, "history", "everything that was decided and set", _HISTORY_EPILOG, _history)
    history.add_argument("tenant", metavar="TENANT", nargs="?", type=tenant_name, help="default: all")
    history.add_argument(
        "--limit", metavar="N", type=int, default=100, help=f"the newest N, at most {MAX_HISTORY} (100)"
    )
    add_json_argument(history)


def _add_verb(verbs: Any, name: str, does: str, epilog: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=does, description=_DESCRIPTION, epilog=epilog
    )
    add_socket_arguments(parser)
    parser.set_defaults(run=run)
    return parser


def _add_tenant(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "tenant",
        metavar="TENANT",
        nargs="?",
        type=tenant_name,
        default=DEFAULT_TENANT,
        help=f"whose policy ({DEFAULT_TENANT}: of guests that nobody assigned to another)",
    )


def _add_decision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ksn", choices=list(map(str, Decision)), help="the decision on the Statement in force"
    )
    parser.add_argument("--statement", metavar="V", type=int, help="the version of it that was read")
    parser.add_argument("--mode", choices=list(_MODES), help="the widest mode that is wanted")
    parser.add_argument(
        "--documents",
        choices=("yes", "no"),
        help="whether documents in which a threat is found may be handed over in extended mode (no)",
    )


def _list(args: argparse.Namespace, console: Console) -> int:
    with console.client(args) as client:
        policies = client.policies().policies
    if args.json:
        console.say_json([policy_dict(policy) for policy in policies])
    elif not policies:
        console.say("there is no policy yet: begin one with `svm policy create`")
    else:
        rows = [
            (
                policy.tenant,
                "yes" if policy.active else "no",
                mode_word(policy.mode),
                state_word(policy.participation),
                "; ".join(policy.participation.sentences),
            )
            for policy in policies
        ]
        console.say(*table(("tenant", "active", "mode", "KSN", "because"), rows))
    return DONE


def _show(args: argparse.Namespace, console: Console) -> int:
    with console.client(args) as client:
        policy = _policy(client.policies(), args.tenant)
    if policy is None:
        console.complain(f"tenant {args.tenant!r} has no policy: begin one with `svm policy create`")
        return NO
    if args.json:
        console.say_json(policy_dict(policy))
    else:
        console.say(*pairs(policy_pairs(policy)))
    return DONE


def _policy(reply: admin_pb2.ListPoliciesReply, tenant: str) -> admin_pb2.TenantPolicy | None:
    return next((policy for policy in reply.policies if policy.tenant == tenant), None)


def _create(args: argparse.Namespace, console: Console) -> int:
    with console.client(args) as client:
        if _policy(client.policies(), args.tenant) is not None:
            raise CommandError(f"tenant {args.tenant!r} has a policy: see `svm policy change`")
        status = client.ksn_status(args.tenant)
    # Named in any case: it begins in the mode that is said before the decision, or not at all.
    mode = _MODES[args.mode] if args.mode else _first_mode(status)
    wanted = admin_pb2.TenantPolicy(tenant=args.tenant, mode=mode, documents=args.documents == "yes")
    decision = _decision(args, status, wanted, console)
    request = admin_pb2.CreatePolicyRequest(
        tenant=args.tenant, decision=decision, mode=mode, documents=wanted.documents
    )
    with console.client(args) as client:
        console.say(*pairs(policy_pairs(client.create_policy(request))))
    return DONE


def _change(args: argparse.Namespace, console: Console) -> int:
    request = admin_pb2.ChangePolicyRequest(tenant=args.tenant)
    if args.active:
        request.active = args.active == "yes"
    if args.mode:
        request.mode = _MODES[args.mode]
    if args.documents:
        request.documents = args.documents == "yes"
    named = bool(args.active or args.mode or args.documents)
    decides = bool(args.ksn or args.statement is not None)  # a version alone is refused in time
    if not named and not decides and not console.talks():
        raise CommandError("nothing is to change: give --ksn, --active, --mode or --documents")
    if decides or not named:
        with console.client(args) as client:
            status = client.ksn_status(args.tenant)
            # Not for who declines by name: nothing that cannot be read may stand in his way.
            wanted = admin_pb2.TenantPolicy() if args.ksn else _policy(client.policies(), args.tenant)
        if wanted is None:
            raise CommandError(f"tenant {args.tenant!r} has no policy: begin one with `svm policy create`")
        request.decision.CopyFrom(_decision(args, status, _changed(wanted, request), console))
    with console.client(args) as client:
        console.say(*pairs(policy_pairs(client.change_policy(request))))
    return DONE


def _first_mode(status: admin_pb2.GetKsnStatusReply) -> verdict_pb2.KsnMode.ValueType:
    """Return the mode in which a policy begins where none is named."""
    return status.mode_limit if "mode" in status.locked else verdict_pb2.KSN_MODE_STANDARD


def _changed(
    policy: admin_pb2.TenantPolicy, request: admin_pb2.ChangePolicyRequest
) -> admin_pb2.TenantPolicy:
    """Return a policy with the settings that a change gives it."""
    if request.HasField("mode"):
        policy.mode = request.mode
    if request.HasField("documents"):
        policy.documents = request.documents
    return policy


def _decision(
    args: argparse.Namespace,
    status: admin_pb2.GetKsnStatusReply,
    wanted: admin_pb2.TenantPolicy,
    console: Console,
) -> admin_pb2.KsnDecision:
    """Return the decision that the arguments give, or that a person makes. Raises CommandError for none.

    status: of the SVM. wanted: how the policy is to be set, which a person is told.
    """
    if args.ksn is None and args.statement is not None:
        raise CommandError("--statement counts only with --ksn: give --ksn accept, or --ksn decline")
    if args.ksn == Decision.DECLINE and args.statement is None:
        # No text is needed for that, and none that cannot be read may stand in the way.
        version = status.participation.statement_in_force or 1
        return admin_pb2.KsnDecision(accept=False, type=status.type, version=version, sha256=_NO_TEXT)
    text = statement_in_force(status, args, console)
    if args.ksn is None:
        word = _asked(text, _manner(status, wanted), args.tenant, console)
    else:
        word = Decision(args.ksn)
        _check_version(text, word, args.statement)
    return admin_pb2.KsnDecision(
        accept=word is Decision.ACCEPT,
        type=TYPE_NUMBERS[text.type],
        version=text.version,
        sha256=text.sha256,
    )


def _check_version(text: ShownStatement, word: Decision, given: int | None) -> None:
    """Raise CommandError where a decision is not about the Statement in force."""
    if given == text.version or (given is None and word is Decision.DECLINE):
        return
    said = "--statement is missing" if given is None else f"--statement is {given}"
    raise CommandError(
        f"{said}: version {text.version} of the {text.type} Statement is in force; "
        f"read it with `svm ksn statement show`, then give --statement {text.version}"
    )


def _manner(status: admin_pb2.GetKsnStatusReply, wanted: admin_pb2.TenantPolicy) -> str:
    """Return the sentence that says how a tenant takes part that accepts."""
    mode = min(wanted.mode, status.mode_limit)
    documents = wanted.documents and status.documents_allowed and mode == verdict_pb2.KSN_MODE_EXTENDED
    locked = "; the provider has locked the mode" if "mode" in status.locked else ""
    return f"To accept is to take part in {settings_words(mode, documents)}{locked}."


def _asked(text: ShownStatement, manner: str, tenant: str, console: Console) -> Decision:
    """Show the Statement, say how the tenant takes part then, and ask until there is a decision."""
    if not console.talks():
        raise CommandError(
            "there is no terminal to ask on, and no decision on the KSN Statement: read it with "
            f"`svm ksn statement show`, then give --ksn accept --statement {text.version}, or --ksn decline"
        )
    console.say(text.text, manner)
    try:
        while True:
            answer = console.ask(f'Tenant {tenant}: type "accept" or "decline":')
            if answer in set(Decision):
                return Decision(answer)
    except EOFError:
        raise CommandError("there is no decision on the KSN Statement, so nothing was changed") from None


def _history(args: argparse.Namespace, console: Console) -> int:
    if not 1 <= args.limit <= MAX_HISTORY:
        raise CommandError(f"--limit is {args.limit}: give 1 to {MAX_HISTORY}")
    with console.client(args) as client:
        entries = client.history(args.tenant or "", args.limit).entries
    if args.json:
        console.say_json([history_dict(entry) for entry in entries])
    elif not entries:
        console.say("nothing was decided yet")
    else:
        console.say(*table(HISTORY_HEAD, map(history_row, entries)))
    return DONE
