/** One idea of Raft as an operator meets it. */
export interface Concept {
  readonly name: string
  /** Other words for it. */
  readonly aliases: readonly string[]
  readonly summary: string
  /** Paragraphs. */
  readonly text: readonly string[]
  /** Commands that show it. */
  readonly see: readonly string[]
}

export const CONCEPTS: readonly Concept[] = [
  {
    name: 'quorum',
    aliases: ['majority', 'tolerance'],
    summary: 'More than half of the voters: as many as must agree before anything is decided.',
    text: [
      'A leader is elected, an entry is committed and the members are changed only with the votes or the disks of a quorum. Two quorums share a member, so two decisions cannot contradict each other.',
      'A cluster tolerates as many failures as it has voters beyond a quorum. An even number tolerates no more than one voter less would, and needs one more to agree.',
      'Learners, and members that are being rebuilt, count for no quorum.',
    ],
    see: ['status', 'member list'],
  },
  {
    name: 'term',
    aliases: ['epoch'],
    summary: 'The number of an election: it only grows, and has at most one leader.',
    text: [
      'A member that hears nothing from its leader for an election timeout asks the others whether they miss it too (pre-vote), then raises the term and asks for their votes. Each member votes once in a term and keeps that on disk before it says so.',
      'A message of an older term is refused. A term that grows without a new leader means that elections fail: look for members that cannot reach each other.',
    ],
    see: ['leader show', 'events --type election'],
  },
  {
    name: 'commit',
    aliases: ['committed', 'commit index', 'applied'],
    summary: 'An entry that a quorum holds on disk: it will never be lost or changed, and every member applies it.',
    text: [
      'The leader counts an entry of its own term as committed once a quorum, itself included, has it durably. Then the state machine applies it and the client gets its answer.',
      'What only the leader or a minority holds is not committed yet: a new leader may replace it. LAG in `status` is how many committed entries a member has not applied.',
    ],
    see: ['status', 'log show'],
  },
  {
    name: 'joint consensus',
    aliases: ['joint', 'membership change', 'configuration change'],
    summary: 'How the members are changed: for a moment the old and the new set must both agree.',
    text: [
      'New members first receive the log while they count for nothing (catching up). Then the leader commits a configuration that holds both sets: everything needs a quorum of each. Once that is committed it commits the new set alone.',
      'A new leader finishes a change that its predecessor began. Only one change runs at a time.',
    ],
    see: ['member add', 'member list'],
  },
  {
    name: 'read index',
    aliases: ['linearizable read', 'linearizable'],
    summary: 'How a read sees every write that was answered before it, without being written to the log.',
    text: [
      'The leader notes its commit index, has a quorum confirm by one round of heartbeats that it still leads, waits until it has applied that far, and answers. All reads that wait share the round. A follower asks its leader for the index and answers by itself.',
      '`--read stale` asks nobody: it answers at once, without a leader too, and may miss the newest writes.',
    ],
    see: ['kv get', 'leader show'],
  },
  {
    name: 'rebuilding',
    aliases: ['rebuild', 'wiped', 'lost disk'],
    summary: 'The state of a member that lost its directory: it receives everything anew and does not vote until it has it.',
    text: [
      'An empty directory may have promised a vote or held entries that the cluster counts on. A member that is started with --rebuild (`cluster start` does so by itself) therefore takes entries and snapshots, grants no vote, never campaigns, and its acknowledgements count for nothing.',
      'It becomes a voter again once it durably holds an entry that the others committed without it. If a majority lost their directories nobody can lead: put the directories back.',
    ],
    see: ['status', 'cluster start', 'node start'],
  },
  {
    name: 'snapshot',
    aliases: ['compaction'],
    summary: 'The state at one index in one file: what lets the log before it be cut.',
    text: [
      'Every member takes its own, by interval or on demand, and then cuts its log back to the snapshot before that. A follower that needs entries which are gone receives the snapshot of the leader instead, in pieces, and goes on from there.',
      'A snapshot becomes visible only when it is complete and durable.',
    ],
    see: ['snapshot create', 'snapshot list', 'status --wide'],
  },
  {
    name: 'learner',
    aliases: ['catching up'],
    summary: 'A member that receives the log and counts for no quorum.',
    text: [
      'Every member that is added begins like that: it becomes a voter once it is close to the end of the log, so that a slow or dead newcomer cannot hold up the cluster.',
      'Learners do not vote, and a cluster tolerates no more failures for having them.',
    ],
    see: ['member add', 'status'],
  },
]
