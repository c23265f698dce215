import type { ExitCode } from './exit-codes.js'

/** One entry of the registry: what an error code means and what a person can do about it. */
export interface ErrorEntry {
  readonly exitCode: ExitCode
  readonly meaning: string
  readonly act: string
}

/** The registry of error codes. The documentation, `explain` and the tests read it; nothing else maps a code to an exit code. */
export const ERRORS = {
  E_INTERNAL: {
    exitCode: 1,
    meaning: 'raftctl met a state it does not know: a bug, here or in the node.',
    act: 'Run it again with --verbose and report what it prints.',
  },
  E_SNAPSHOT_FAILED: {
    exitCode: 1,
    meaning: 'The node could not write a snapshot, or not read it again.',
    act: 'Read the log of the node; the message names what failed.',
  },
  E_USAGE: {
    exitCode: 2,
    meaning: 'The command line is wrong: an unknown flag, a bad value, a missing argument.',
    act: 'Read the help of the command: raftctl COMMAND --help.',
  },
  E_CONFIG: {
    exitCode: 2,
    meaning: 'A configuration file of raftctl cannot be read.',
    act: 'Mend the line that the message names.',
  },
  E_TOO_LARGE: {
    exitCode: 2,
    meaning: 'The value or the request is larger than an entry of the log may be.',
    act: 'Split it, or store a reference to it: an entry holds 1.5 MiB.',
  },
  E_UNHEALTHY: {
    exitCode: 3,
    meaning: 'The question was answered, and the answer is no.',
    act: 'Read the rows: they name the member and the reason.',
  },
  E_NO_LEADER: {
    exitCode: 4,
    meaning: 'The group has no leader that can be confirmed now.',
    act: 'Wait for an election (raftctl wait leader), or look at the members: raftctl status.',
  },
  E_NOT_LEADER: {
    exitCode: 4,
    meaning: 'The node that was asked does not lead, and was told not to pass the request on.',
    act: 'Leave out --direct.',
  },
  E_NO_QUORUM: {
    exitCode: 4,
    meaning: 'Fewer voters answer than a quorum, so nothing can be committed.',
    act: 'Start the members that are down; raftctl status names them.',
  },
  E_UNREACHABLE: {
    exitCode: 5,
    meaning: 'No member could be reached; the request was not sent. The stage (dns, tcp, tls, grpc) says how far it came.',
    act: 'Check the address, and that the node runs: raftctl cluster ls, raftctl context show.',
  },
  E_QUORUM_AT_RISK: {
    exitCode: 6,
    meaning: 'The change would leave fewer reachable voters than a quorum: writes would stop.',
    act: 'Remove the unreachable member instead, or bring it back. --force overrides after typing the cluster name.',
  },
  E_QUORUM_ALIVE: {
    exitCode: 6,
    meaning: 'The members were to be set by hand, past every quorum, but a majority of the voters answers.',
    act: 'Replace the members that are down: raftctl member replace.',
  },
  E_NOT_CAUGHT_UP: {
    exitCode: 6,
    meaning: 'The member is too far behind for what was asked of it.',
    act: 'Wait until it is level: raftctl wait member=NAME:caught-up.',
  },
  E_NOT_JOINABLE: {
    exitCode: 6,
    meaning:
      'What runs at the address cannot become a member: it founds a group of its own, holds a foreign log, or is of another version.',
    act: 'Stop it and start it on an empty directory with raftctl node start --join MEMBER.',
  },
  E_READ_ONLY: {
    exitCode: 6,
    meaning: 'This context, this shell (RAFTCTL_READ_ONLY) or this node only allows reads.',
    act: 'Use a context that may write, or unset RAFTCTL_READ_ONLY.',
  },
  E_PORT: {
    exitCode: 6,
    meaning: 'A port that a node must listen on is taken.',
    act: 'Choose another port, or stop the process that holds it.',
  },
  E_DATA_DIR: {
    exitCode: 6,
    meaning: 'A data directory cannot be used: full, not writable, locked by another process, or emptied since it last ran.',
    act: 'Do what the message says for this directory.',
  },
  E_NO_SPACE: {
    exitCode: 6,
    meaning: 'The disk of the node is nearly full: it refuses writes and goes on serving reads.',
    act: 'Free space on the disk of the member that raised the alarm; it heals by itself.',
  },
  E_BUSY: {
    exitCode: 6,
    meaning: 'The node has as many requests waiting as it takes; this one was not accepted.',
    act: 'Try again with fewer requests at a time.',
  },
  E_REMOVED_FROM_CLUSTER: {
    exitCode: 6,
    meaning: 'This member has been removed from its group.',
    act: 'To make it a member again, put its directory aside (raftctl node wipe DIR), start it with --join and add it: raftctl member add NAME=HOST:PORT.',
  },
  E_MIXED: {
    exitCode: 6,
    meaning: 'Braft nodes may be members of this group, and braft cannot do what was asked for.',
    act: 'Do what the message says instead; docs/braft.md lists what a mixed group lacks.',
  },
  E_STILL_MEMBER: {
    exitCode: 6,
    meaning: 'The node whose directory is to be put aside is still in the committed configuration of its cluster.',
    act: 'Remove it first: raftctl member remove NAME.',
  },
  E_NEEDS_REBUILD: {
    exitCode: 6,
    meaning: 'The directory is empty although the group has a past: this member lost what it promised and must not vote.',
    act: 'Restore the directory from its disk or a copy. If it is lost, start the member with --rebuild: it votes only once it has everything again.',
  },
  E_REMOTE: {
    exitCode: 6,
    meaning: 'The command works on clusters of this machine only.',
    act: 'Run it on the machine that runs the cluster.',
  },
  E_FAULTS_DISABLED: {
    exitCode: 6,
    meaning: 'The node was not started with --enable-faults.',
    act: 'Start it with --enable-faults, on a cluster that may break: raftctl cluster start --enable-faults.',
  },
  E_UNSUPPORTED: {
    exitCode: 6,
    meaning: 'The node does not offer this operation.',
    act: 'Check the version of the node: raftctl status --wide.',
  },
  E_OTHER_MACHINE: {
    exitCode: 6,
    meaning: 'The group runs another state machine than the command is for: it has no keys.',
    act: 'Use the client of that machine, or name a group of the key-value machine with --group; raftctl node status shows the machine.',
  },
  E_UNKNOWN_COMMAND: {
    exitCode: 6,
    meaning: 'A member is too old to know this command of the log; it was not applied anywhere.',
    act: 'Upgrade every member, then repeat it.',
  },
  E_SESSION_FULL: {
    exitCode: 6,
    meaning: 'The cluster keeps as many client sessions, or answers of one, as it may.',
    act: 'Try again later, or with fewer clients at a time.',
  },
  E_NO_SUCH_NODE: {
    exitCode: 7,
    meaning: 'No member has this name or address.',
    act: 'List the members: raftctl member list.',
  },
  E_NO_KEY: {
    exitCode: 7,
    meaning: 'The key does not exist.',
    act: 'List what exists: raftctl kv list.',
  },
  E_NO_SNAPSHOT: {
    exitCode: 7,
    meaning: 'The node has no snapshot, or not the one that was asked for.',
    act: 'Take one: raftctl snapshot create.',
  },
  E_COMPACTED: {
    exitCode: 7,
    meaning: 'The asked revision or index is gone: it has been compacted.',
    act: 'Ask for a newer one.',
  },
  E_FUTURE_REVISION: {
    exitCode: 7,
    meaning: 'The asked revision does not exist yet.',
    act: 'Ask for an older one, or leave --rev out.',
  },
  E_NO_LEASE: {
    exitCode: 7,
    meaning: 'The lease does not exist, or has expired.',
    act: 'Grant a new one.',
  },
  E_NO_CONTEXT: {
    exitCode: 7,
    meaning: 'No context of this name exists, or none is selected and no endpoint is given.',
    act: 'See what exists: raftctl context list. Start a cluster: raftctl cluster start.',
  },
  E_NO_CLUSTER: {
    exitCode: 7,
    meaning: 'No local cluster of this name exists.',
    act: 'See what exists: raftctl cluster ls.',
  },
  E_NO_ENTRY: {
    exitCode: 7,
    meaning: 'The log holds no entry at this index yet.',
    act: 'See what is there: raftctl log stats.',
  },
  E_NO_DATA_DIR: {
    exitCode: 7,
    meaning: 'There is no data directory of a Raft node at this path.',
    act: 'Give the directory that the node was started with (--data): the one that holds log, raft_meta and raftctl.',
  },
  E_NO_TOPIC: {
    exitCode: 7,
    meaning: 'Nothing of this name is explained.',
    act: 'See what is: raftctl explain --help.',
  },
  E_NO_GROUP: {
    exitCode: 7,
    meaning: 'The node does not host a group of this name.',
    act: 'Name another group with --group.',
  },
  E_CAS: {
    exitCode: 8,
    meaning: 'The key is not what the compare-and-swap expected; nothing was written.',
    act: 'Read the key again and decide anew.',
  },
  E_EXISTS: {
    exitCode: 8,
    meaning: 'Something of this name exists already and differs.',
    act: 'Use another name, or remove the old one.',
  },
  E_CONFIG_PENDING: {
    exitCode: 8,
    meaning: 'A change of the members is still running.',
    act: 'Wait for it to finish: raftctl member list --watch.',
  },
  E_PLAN_STALE: {
    exitCode: 8,
    meaning: 'The members changed after the plan was made.',
    act: 'Make the plan anew.',
  },
  E_CLUSTER_MISMATCH: {
    exitCode: 8,
    meaning: 'The node that answered belongs to another cluster than the one expected.',
    act: 'Check the endpoints of the context: raftctl context show.',
  },
  E_AUTH: {
    exitCode: 9,
    meaning: 'The node does not accept these credentials.',
    act: 'Check --token-file and the certificate.',
  },
  E_TLS: {
    exitCode: 9,
    meaning: 'The TLS handshake failed.',
    act: 'Check --ca, --cert, --key and --server-name.',
  },
  E_CORRUPT: {
    exitCode: 10,
    meaning: 'Data is damaged: a node stops instead of serving it, and a file is not used.',
    act: 'Do what the message says; it names the file, the offset and the command that mends it.',
  },
  E_DIVERGED: {
    exitCode: 10,
    meaning: 'Two members hold different state at the same index.',
    act: 'Stop writing and keep the directories of all members.',
  },
  E_PARTIAL: {
    exitCode: 11,
    meaning: 'Some targets succeeded and some failed.',
    act: 'Read the rows, then repeat for those that failed.',
  },
  E_NOT_CONFIRMED: {
    exitCode: 12,
    meaning: 'The question was declined, or could not be asked.',
    act: 'Add the flag that the message names.',
  },
  E_OUTCOME_UNKNOWN: {
    exitCode: 13,
    meaning: 'The request was sent and no verdict came before the deadline: it may have been applied.',
    act: 'Look before you repeat it.',
  },
  E_SESSION_EXPIRED: {
    exitCode: 13,
    meaning: 'The cluster no longer knows this client, so it cannot tell whether the request was applied before.',
    act: 'Look before you repeat it.',
  },
  E_SEQUENCE_ACKNOWLEDGED: {
    exitCode: 13,
    meaning: 'The cluster no longer keeps the answer of this request: the client said before that it had it.',
    act: 'Look before you repeat it.',
  },
  E_WAIT_TIMEOUT: {
    exitCode: 124,
    meaning: 'The awaited condition was not met in time.',
    act: 'Give it longer, or see what is missing: raftctl status.',
  },
  E_COMMAND: {
    exitCode: 127,
    meaning: 'No such command.',
    act: 'See what exists: raftctl --help.',
  },
  E_INTERRUPTED: {
    exitCode: 130,
    meaning: 'Interrupted from the keyboard.',
    act: 'Nothing to do.',
  },
  E_TERMINATED: {
    exitCode: 143,
    meaning: 'Terminated by SIGTERM.',
    act: 'Nothing to do.',
  },
} as const satisfies Record<string, ErrorEntry>

export type ErrorCode = keyof typeof ERRORS

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code)
}

export interface CliErrorOptions {
  /** What to type next. Left out: the registry's advice. */
  readonly hint?: string
  /** For programs; goes into the JSON document as it is. */
  readonly details?: Readonly<Record<string, unknown>>
  /** Rows that stand beside the error in the JSON document. */
  readonly data?: unknown
  readonly cause?: unknown
}

/** An error in the voice of the CLI: what happened to what, and what to type next. Everything that fails a command is one. */
export class CliError extends Error {
  override readonly name = 'CliError'
  readonly hint: string
  readonly details: Readonly<Record<string, unknown>>
  readonly data: unknown

  constructor(
    readonly code: ErrorCode,
    message: string,
    options: CliErrorOptions = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.hint = options.hint ?? ERRORS[code].act
    this.details = options.details ?? {}
    this.data = options.data
  }

  get exitCode(): ExitCode {
    return ERRORS[this.code].exitCode
  }
}
