import type { Connection } from '../../terminal/connection.js'
import { CliError } from '../../terminal/errors.js'
import { ClusterClient } from '../cluster-client.js'
import { survey } from '../discovery.js'
import { KeyValueAdmin } from '../key-value.js'
import { statusOf } from '../status.js'
import { Bench, type BenchWatch, type KeysAfter } from './bench.js'
import type { Meter } from './meter.js'
import { type BenchOptions, checkBench } from './options.js'

/** What a load did to a cluster, before anybody judges it. */
export interface Measured {
  readonly group: string
  readonly clusterId: string | null
  readonly voters: number | null
  /** Before or after it, when fewest were. */
  readonly reachableVoters: number
  readonly meter: Meter
  /** With a rate: operations that were due and never sent, since all clients were busy with others. */
  readonly notSent: number
  /** Of one core, that this client used. */
  readonly clientCpu: number
  /** By how much the term rose meanwhile; null when it could not be asked. */
  readonly elections: number | null
  readonly keys: KeysAfter
}

/** Puts the load on the cluster, and removes what it wrote. Throws for what cannot be run, and when nothing at all was answered. */
export async function measureLoad(connection: Connection, options: BenchOptions, watch: BenchWatch): Promise<Measured> {
  checkBench(options)
  using cluster = new ClusterClient(connection)
  const before = await look(cluster)
  if (before.error) throw before.error
  await refuseForeignKeys({ ...connection, group: cluster.group }, options)
  using bench = new Bench({ ...connection, group: cluster.group }, before.endpoints, options, watch)
  const { meter, cpu, notSent } = await bench.measure().catch((error: unknown) => {
    throw bench.keys.left === 0 ? error : withKeysLeft(error, options.prefix)
  })
  const after = await look(cluster).catch(() => null)
  return {
    group: cluster.group,
    clusterId: before.clusterId,
    voters: before.voters,
    reachableVoters: Math.min(before.reachableVoters, after?.reachableVoters ?? before.reachableVoters),
    meter,
    notSent,
    clientCpu: Math.round(cpu * 100) / 100,
    elections: after === null || after.term === null || before.term === null ? null : after.term - before.term,
    keys: bench.keys,
  }
}

/** Members to connect to, the leader first. */
async function look(cluster: ClusterClient) {
  const { status, clusterId, error } = statusOf(await survey(cluster))
  const nodes = [...status.nodes].filter((node) => node.reachable).sort((a, b) => Number(b.leader) - Number(a.leader))
  const { term, voters, reachableVoters } = status
  return { endpoints: nodes.map((node) => node.address), term, voters, reachableVoters, clusterId, error }
}

/** What is under the prefix would be written over and removed. */
async function refuseForeignKeys(connection: Connection, { prefix }: BenchOptions): Promise<void> {
  using keyValue = new KeyValueAdmin(connection)
  const count = await keyValue.countPrefix(prefix)
  if (count > 0)
    throw new CliError(
      'E_EXISTS',
      `${count} ${count === 1 ? 'key begins' : 'keys begin'} with ${JSON.stringify(prefix)}, and the bench would remove them`,
      {
        hint: `Choose another --prefix, or remove them first:  raftctl kv del ${prefix} --prefix`,
      },
    )
}

/** It failed, and so did the removal of what it wrote. */
function withKeysLeft(error: unknown, prefix: string): unknown {
  if (!(error instanceof CliError)) return error
  const { code, message, hint, details, data } = error
  const left = `Keys of this load may still be there; remove them:  raftctl kv del ${prefix} --prefix`
  return new CliError(code, message, { details, data, cause: error, hint: hint === '' ? left : `${hint}\n${left}` })
}
