import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { parseMembers } from '../../src/admin/members-file.js'
import { parseNewMember } from '../../src/admin/membership-plan.js'
import { readPlan } from '../../src/admin/plan-file.js'
import { cachedMembers } from '../../src/local/member-cache.js'
import { allClusters, findCluster } from '../../src/local/state-file.js'
import { Configuration } from '../../src/raft/configuration.js'
import { PeerId } from '../../src/raft/peer-id.js'
import { parseChecksum } from '../../src/raft/snapshot-checksum.js'
import { type NodeFlags, parseConfiguration } from '../../src/server/configuration.js'
import { MemberNames } from '../../src/server/member-names.js'
import { StartError } from '../../src/server/start-error.js'
import { parseMixedPath } from '../../src/storage/merged-meta.js'
import { parseStat } from '../../src/storage/process-stat.js'
import { parseSegmentName } from '../../src/storage/segment.js'
import { problemOfName } from '../../src/storage/snapshot-list.js'
import { parseStorageUri } from '../../src/storage/uri.js'
import { findContext, readSelection } from '../../src/terminal/context-files.js'
import { CliError } from '../../src/terminal/errors.js'
import { durationMs, wholeNumber } from '../../src/terminal/flags.js'
import { type Decoder, type Outcome, refusedBy } from './decoder.js'

/** A home of these decoders alone; it goes with the process. */
const home = mkdtempSync(join(tmpdir(), 'raftctl-fuzz-'))
process.on('exit', () => rmSync(home, { recursive: true, force: true }))

const buffers = (...texts: string[]) => texts.map((text) => Buffer.from(text))
const json = (...values: unknown[]) => values.map((value) => Buffer.from(JSON.stringify(value, null, 2)))

/** Puts the bytes where the program looks for the file, and looks. */
function asFile(path: string, bytes: Buffer, read: () => Outcome): Outcome {
  const file = join(home, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, bytes)
  const before = { ...process.env }
  Object.assign(process.env, { HOME: home, XDG_CONFIG_HOME: '', XDG_STATE_HOME: '', XDG_DATA_HOME: '', XDG_CACHE_HOME: '' })
  try {
    return read()
  } finally {
    for (const name of ['HOME', 'XDG_CONFIG_HOME', 'XDG_STATE_HOME', 'XDG_DATA_HOME', 'XDG_CACHE_HOME']) {
      if (before[name] === undefined) delete process.env[name]
      else process.env[name] = before[name]
    }
  }
}

const PEERS = [
  '127.0.0.1:7001',
  '127.0.0.1:7001:1',
  '127.0.0.1:7001:1:1',
  'node-1.example:80:0:0',
  '[::1]:7001:0:0',
  '[fe80::1%eth0]:1',
  '0.0.0.0:0:0:0',
]

const peerIds: Decoder = {
  name: 'peer-id',
  covers: ['src/raft/peer-id.ts PeerId'],
  samples: () => buffers(...PEERS),
  run: (bytes) => {
    const peer = PeerId.parse(bytes.toString())
    return peer ? { value: peer, encode: () => Buffer.from(peer.toString()) } : { refused: 'null' }
  },
}

const configurations: Decoder = {
  name: 'configuration-text',
  covers: ['src/raft/configuration.ts Configuration'],
  samples: () => buffers(PEERS.slice(0, 3).join(','), 'a:1, b:2,,'),
  run: (bytes) => {
    const value = Configuration.parse(bytes.toString())
    return value ? { value, encode: () => Buffer.from(value.toString()) } : { refused: 'null' }
  },
}

/** Small texts of which each has a parser of its own; the first byte says which. */
const PARSERS: readonly ((text: string) => unknown)[] = [
  (text) => durationMs(text),
  (text) => wholeNumber(text),
  (text) => parseChecksum(text),
  (text) => parseStorageUri(text),
  (text) => parseSegmentName(text),
  (text) => parseNewMember(text),
  (text) => (problemOfName(text) === null ? text : null),
  (text) => parseMixedPath(text),
  (text) => parseStat(text),
]

const words: Decoder = {
  name: 'words',
  covers: [
    ...['src/terminal/format.ts parseDuration', 'src/raft/snapshot-checksum.ts parseChecksum', 'src/storage/uri.ts parseStorageUri'],
    ...[
      'src/storage/segment.ts parseSegmentName',
      'src/storage/snapshot-list.ts problemOfName',
      'src/admin/membership-plan.ts parseNewMember',
      'src/storage/merged-meta.ts parseMixedPath',
      'src/storage/process-stat.ts parseStat',
    ],
  ],
  samples: () =>
    [
      '500ms',
      '18',
      'crc32c:0123abcd',
      'local:// a b',
      'log_00000000000000000001_00000000000000000002',
      'n4=127.0.0.1:1',
      'a/b',
      'merged_path=a&&single_path=b',
      '1 (node) S 6168 6164 3789 0 -1 4227084 3006 6541 6 1 8 6 15 14 20 0 11 0 5976846 0',
    ].map((text, i) => Buffer.concat([Buffer.from([i]), Buffer.from(text)])),
  run: (bytes) =>
    refusedBy([CliError], () => {
      const value = PARSERS[(bytes[0] ?? 0) % PARSERS.length]!(bytes.toString('utf8', 1))
      if (typeof value === 'number' && !(value >= 0)) throw new Error(`taken for ${value}`)
      if (value === null) throw new CliError('E_USAGE', 'null')
      return { value }
    }),
}

const NODE_FLAGS: NodeFlags = {
  ...{
    listen: '127.0.0.1:7001',
    peers: '127.0.0.1:7001,127.0.0.1:7002',
    data: '/tmp/n1',
    group: 'kv',
    electionTimeout: '1s',
    logLevel: 'info',
  },
  ...{
    name: 'n1',
    names: 'n1,n2',
    clusterId: 'c'.repeat(32),
    snapshotInterval: '1h',
    snapshotMaxRate: '50MB/s',
    maxClockDrift: '100ms',
    priority: '200',
    logFile: 'x.log',
  },
}

const nodeFlags: Decoder = {
  name: 'node-flags',
  covers: ['src/server/configuration.ts parseConfiguration'],
  samples: () =>
    json(
      NODE_FLAGS,
      { ...NODE_FLAGS, peers: undefined, names: undefined, join: '127.0.0.1:9', advertise: 'h:1' },
      { ...NODE_FLAGS, electionTimeout: '50' },
    ),
  run: (bytes) => {
    let flags: Partial<NodeFlags> = {}
    try {
      // What a shell hands over is text, and what is missing has its default.
      for (const [key, value] of Object.entries(JSON.parse(bytes.toString()) as object)) flags = { ...flags, [key]: String(value) }
    } catch {
      return { refused: 'no flags' }
    }
    const { names: _, ...rest } = NODE_FLAGS
    return refusedBy([StartError], () => {
      const value = parseConfiguration({ ...rest, ...flags })
      for (const number of [value.electionTimeoutMs, value.snapshotIntervalMs, value.snapshotBytesPerSecond, value.listen.port])
        if (!(number >= 0 && number < 2 ** 53)) throw new Error(`a flag was taken for ${number}`)
      return { value }
    })
  },
}

const membersFile: Decoder = {
  name: 'members-file',
  covers: ['src/admin/members-file.ts parseMembers'],
  samples: () => [
    ...buffers('members:\n  n1: 127.0.0.1:1\n  "n2": 127.0.0.1:2 # two\n'),
    ...json({ members: { n1: '127.0.0.1:1', n2: 'h:2' } }),
  ],
  run: (bytes) => refusedBy([CliError], () => ({ value: parseMembers(bytes.toString(), 'members.yaml') })),
}

const PLAN = {
  ...{ schema: 'raftctl.plan/1', id: 'p', command: 'member add', title: 't', impact: 'membership', level: 'high', group: 'kv' },
  ...{
    createdAt: '2026-01-01T00:00:00Z',
    expiresAt: '2026-01-01T01:00:00Z',
    facts: [],
    gates: [],
    warnings: [],
    steps: [],
    action: { kind: 'members' },
  },
}

const plans: Decoder = {
  name: 'plan-file',
  covers: ['src/admin/plan-file.ts readPlan'],
  samples: () => json(PLAN),
  run: (bytes) => asFile('plan.json', bytes, () => refusedBy([CliError], () => ({ value: readPlan(join(home, 'plan.json')) }))),
}

const states: Decoder = {
  name: 'cluster-state',
  covers: ['src/local/state-file.ts findCluster'],
  samples: () => json({ version: 1, name: 'c1', nodes: [{ name: 'n1', host: '127.0.0.1', port: 7001, dataDir: '/x', pid: null }] }),
  run: (bytes) => {
    const places = ['.local/share', '.local/state'].map((place) => `${place}/raftctl/clusters/c1/state.json`)
    return asFile(places[0]!, bytes, () =>
      asFile(places[1]!, bytes, () => {
        allClusters()
        return refusedBy([CliError], () => ({ value: findCluster('c1') }))
      }),
    )
  },
}

const contexts: Decoder = {
  name: 'context-file',
  covers: [
    'src/terminal/context-files.ts findContext',
    'src/terminal/context-files.ts readSelection',
    'src/local/member-cache.ts cachedMembers',
  ],
  samples: () =>
    json(
      { endpoints: ['127.0.0.1:1'], clusterId: 'c', env: 'production', readOnly: true, tls: true, ca: '/x' },
      { current: 'a', previous: null },
      [{ id: 'n1', address: 'h:1' }],
    ),
  run: (bytes) =>
    asFile('.config/raftctl/contexts/a.json', bytes, () =>
      asFile('.config/raftctl/selection.json', bytes, () =>
        asFile('.cache/raftctl/members/a.json', bytes, () => {
          cachedMembers('a')
          refusedBy([CliError], () => ({ value: readSelection() }))
          return refusedBy([CliError], () => ({ value: findContext('a') }))
        }),
      ),
    ),
}

const memberNames: Decoder = {
  name: 'members-json',
  covers: ['src/server/member-names.ts MemberNames'],
  samples: () => json({ version: 1, members: { '127.0.0.1:1:0': 'n1', '127.0.0.1:2:0': 'n2' } }),
  run: (bytes) =>
    asFile('members.json', bytes, () => {
      const names = new MemberNames(new Map())
      // Read only: what it would write goes where nothing can be written.
      const path = join(home, 'members.json')
      names.keepIn(path)
      return { value: names.nameOf(PeerId.parse('127.0.0.1:1')!) }
    }),
}

export const TEXT: readonly Decoder[] = [peerIds, configurations, words, nodeFlags, membersFile, plans, states, contexts, memberNames]
