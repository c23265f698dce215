import { setTimeout as pause } from 'node:timers/promises'
import { ClusterClient } from '../admin/cluster-client.js'
import { survey } from '../admin/discovery.js'
import { findLeader, quorumOf, votersOf } from '../admin/leader-claims.js'
import { peerKey } from '../admin/node-report.js'
import { type ClusterStatus, type NodeRow, statusOf } from '../admin/status.js'
import { transfer } from '../admin/transfer.js'
import { planTransfer } from '../admin/transfer-plan.js'
import { CliError } from '../terminal/errors.js'
import { stopNode } from './cluster-control.js'
import { addressOfNode } from './local-address.js'
import { connectionTo } from './local-connection.js'
import { hasLostData, refuseLostData } from './lost-data.js'
import { spawnNode } from './node-spawn.js'
import { processState } from './process-control.js'
import { type LocalCluster, type LocalNode, readCluster, readNode, updateNodes, withClusterLock } from './state-file.js'
import { WriteProbe, type WriteReport } from './write-probe.js'

export interface RestartOptions {
  /** Only this one; null: every node. */
  readonly node: string | null
  /** Restart although writes will stop meanwhile. */
  readonly force: boolean
  /** Write in the background, to know whether a write failed. */
  readonly probe: boolean
  readonly graceMs: number
  /** For each node, from its stop until it has caught up. */
  readonly timeoutMs: number
  readonly signal: AbortSignal
  /** Told what happens while it happens. */
  readonly onStep: (text: string) => void
}

/** One node of a rolling restart. */
export interface NodeRestart {
  readonly node: LocalNode
  /** `started`: it was down; `untouched`: an earlier one failed, or another was asked for. */
  readonly outcome: 'restarted' | 'started' | 'failed' | 'untouched'
  /** Who took leadership over before it stopped; null when it did not lead. */
  readonly handedTo: string | null
  /** From the signal to stop until it had caught up again. */
  readonly tookMs: number | null
  readonly error: CliError | null
}

export interface ClusterRestart {
  readonly cluster: LocalCluster
  readonly nodes: readonly NodeRestart[]
  readonly leader: string | null
  readonly term: number | null
  /** Null: nothing was written to find out. */
  readonly writes: WriteReport | null
  readonly error: CliError | null
}

const POLL_MS = 50
/** A node that comes back may miss this many committed entries and counts as caught up: under load it is never level. */
const LAG_MAX = 1000

/**
 * Restarts nodes one after the other, followers first, the leader last after handing over; the next only when the one before
 * has caught up. Throws E_NO_QUORUM or E_NO_LEADER when nothing can be committed as it is, E_QUORUM_AT_RISK when the first
 * step would stop writes; later on what was done stands in the answer, beside E_PARTIAL.
 */
export async function rollingRestart(name: string, options: RestartOptions): Promise<ClusterRestart> {
  return withClusterLock(name, async () => {
    const cluster = readCluster(name)
    using client = new ClusterClient({ ...connectionTo(cluster, 5000), direct: false, connectTimeoutMs: 500 })
    return await new RollingRestart(cluster, client, options).run()
  })
}

class RollingRestart {
  private readonly done = new Map<string, NodeRestart>()

  constructor(
    private cluster: LocalCluster,
    private readonly client: ClusterClient,
    private readonly options: RestartOptions,
  ) {}

  async run(): Promise<ClusterRestart> {
    const order = await this.order()
    await this.refuseRisk(order[0]!)
    const probe = this.options.probe ? new WriteProbe(this.client.connection) : null
    let failure: CliError | null = null
    try {
      for (const node of order) {
        failure = await this.step(node)
        if (failure !== null || this.options.signal.aborted) break
      }
    } finally {
      await probe?.stop()
    }
    const { status } = statusOf(await survey(this.client))
    return {
      cluster: this.cluster,
      nodes: this.cluster.nodes.map((node) => this.done.get(node.name) ?? untouched(node)),
      leader: status.leader,
      term: status.term,
      writes: probe?.report() ?? null,
      error: failure && this.partial(failure),
    }
  }

  /** Down ones first, for they only add to what is there; then the followers, then the leader. */
  private async order(): Promise<LocalNode[]> {
    const status = await this.sound()
    const chosen = this.options.node === null ? this.cluster.nodes : [readNode(this.cluster, this.options.node)]
    const states = await Promise.all(chosen.map((node) => processState(node)))
    refuseLostData(
      this.cluster,
      chosen.filter((_, at) => states[at] === 'stopped' || states[at] === 'stale'),
    )
    const rank = (node: LocalNode, at: number) => {
      if (states[at] === 'stopped' || states[at] === 'stale') return 0
      return rowOf(status, node)?.leader ? 2 : 1
    }
    const ranks = new Map(chosen.map((node, at) => [node, rank(node, at)]))
    return [...chosen].sort((a, b) => ranks.get(a)! - ranks.get(b)!)
  }

  /** The cluster as it is; throws when it could not commit anything now. */
  private async sound(): Promise<ClusterStatus> {
    const { status, error } = statusOf(await survey(this.client))
    if (error) throw error
    return status
  }

  /** Without this node a quorum must be left that the leader hears. */
  private async refuseRisk(node: LocalNode): Promise<void> {
    if (this.options.force) return
    const found = await survey(this.client)
    const { status, error } = statusOf(found)
    if (error) throw error
    const voters = votersOf(found.membership?.members ?? [])
    const heard = findLeader(found)?.voters ?? new Set<string>()
    const own = rowOf(status, node)?.peerId
    const left = voters.filter((key) => heard.has(key) && key !== (own ? peerKey(own) : null)).length
    const needed = quorumOf(voters.length)
    if (left >= needed) return
    throw new CliError(
      'E_QUORUM_AT_RISK',
      `without ${node.name} ${left} of ${voters.length} voters are left, and ${needed} are needed: writes would stop`,
      {
        hint: 'Bring back the members that are down first (raftctl status), or accept the pause: --force',
        details: { node: node.name, left, voters: voters.length, needed },
      },
    )
  }

  /** Restarts one node; answers why it could not. */
  private async step(node: LocalNode): Promise<CliError | null> {
    const startedAt = performance.now()
    const state = await processState(node)
    const wasDown = state === 'stopped' || state === 'stale'
    let handedTo: string | null = null
    let tookMs: number | null = null
    try {
      if (!wasDown) {
        await this.awaitSlack(node)
        handedTo = await this.handOver(node)
      }
      const stopsAt = performance.now()
      await this.replaceProcess(node)
      tookMs = Math.round(performance.now() - stopsAt)
      const outcome = wasDown ? 'started' : 'restarted'
      this.done.set(node.name, { node: this.current(node), outcome, handedTo, tookMs, error: null })
      this.options.onStep(`${node.name} ${handedTo === null ? '' : `leadership → ${handedTo}, `}${outcome} in ${tookMs} ms`)
      return null
    } catch (thrown) {
      if (!(thrown instanceof CliError)) throw thrown
      tookMs = Math.round(performance.now() - startedAt)
      this.done.set(node.name, { node: this.current(node), outcome: 'failed', handedTo, tookMs, error: thrown })
      return thrown
    }
  }

  /** The one before may need a moment until the leader counts it again. */
  private async awaitSlack(node: LocalNode): Promise<void> {
    const deadline = performance.now() + this.options.timeoutMs
    for (;;) {
      try {
        return await this.refuseRisk(node)
      } catch (thrown) {
        if (!(thrown instanceof CliError) || performance.now() > deadline || this.options.signal.aborted) throw thrown
      }
      await pause(POLL_MS)
    }
  }

  private async handOver(node: LocalNode): Promise<string | null> {
    const status = await this.sound()
    if (!rowOf(status, node)?.leader || this.cluster.nodes.length === 1) return null
    const request = { command: 'cluster restart', target: null, exclude: null, reason: null }
    const { plan } = await planTransfer(this.client, request)
    const { to } = await transfer(this.client, plan, { wait: true, signal: this.options.signal })
    return to.id
  }

  private async replaceProcess(node: LocalNode): Promise<void> {
    const { outcome } = await stopNode(node, this.options.graceMs)
    if (outcome === 'running')
      throw new CliError('E_DATA_DIR', `${node.name}: its process ${node.pid} does not end`, { hint: 'Look for a disk that hangs.' })
    const started = await spawnNode(this.cluster, node, { rebuild: hasLostData(node) })
    let ended: CliError | null = null
    started.ended.then((error) => (ended = error))
    this.cluster = updateNodes(this.cluster, (one) => (one.name === node.name ? started.node : one))
    const caughtUp = await this.awaitCaughtUp(node, () => ended !== null)
    if (ended !== null) {
      this.cluster = updateNodes(this.cluster, (one) => (one.name === node.name ? { ...one, pid: null, processStart: null } : one))
      throw ended as CliError
    }
    if (caughtUp !== null) throw new CliError('E_WAIT_TIMEOUT', `${node.name} runs again and has not caught up: ${caughtUp}`)
  }

  /** Null once it takes part and holds what was committed; else what it was doing in the end. */
  private async awaitCaughtUp(node: LocalNode, hasEnded: () => boolean): Promise<string | null> {
    const deadline = performance.now() + this.options.timeoutMs
    let last = 'it does not answer'
    while (performance.now() < deadline && !hasEnded()) {
      const { status } = statusOf(await survey(this.client))
      const row = rowOf(status, node)
      if (row?.reachable && row.state === 'ok' && status.leaderConfirmed && (row.lag ?? Number.POSITIVE_INFINITY) <= LAG_MAX) return null
      if (row?.reachable) last = `it is ${row.state}, ${row.lag ?? '?'} entries behind`
      await pause(POLL_MS)
    }
    return last
  }

  private current(node: LocalNode): LocalNode {
    return this.cluster.nodes.find((one) => one.name === node.name) ?? node
  }

  private partial(failure: CliError): CliError {
    const left = this.cluster.nodes.filter((node) => !this.done.has(node.name)).map((node) => node.name)
    const rest =
      this.options.node !== null || left.length === 0 ? '' : `; ${left.join(', ')} ${left.length === 1 ? 'was' : 'were'} not touched`
    return new CliError('E_PARTIAL', `${failure.message}${rest}`, { hint: failure.hint, details: { cause: failure.code, untouched: left } })
  }
}

function rowOf(status: ClusterStatus, node: LocalNode): NodeRow | undefined {
  return status.nodes.find((row) => row.address === addressOfNode(node))
}

function untouched(node: LocalNode): NodeRestart {
  return { node, outcome: 'untouched', handedTo: null, tookMs: null, error: null }
}
