import { SERVER_HEADER } from '../../rpc/http.js'
import { HttpPages, type Page, PageError } from '../../rpc/http-pages.js'
import { parseRaftStat, type RaftStat, RaftStatError } from '../../rpc/raft-stat-text.js'
import type { Connection } from '../../terminal/connection.js'
import { CliError } from '../../terminal/errors.js'
import { tlsFilesOf } from '../channels.js'
import { probe } from '../probe.js'

/** What the pages of a brpc process tell about it, besides Raft. Null: it does not say. */
export interface ProcessFacts {
  readonly pid: number | null
  readonly uptimeMs: number | null
  readonly revision: string | null
}

export interface NodePage {
  readonly stat: RaftStat
  /** A node of ours printed it. */
  readonly isRaftctl: boolean
}

const UNKNOWN: ProcessFacts = { pid: null, uptimeMs: null, revision: null }
const FACTS = ['pid', 'process_uptime', 'raft_revision'] as const
/** What is known of a process this long is not asked again. */
const FACTS_LIFE_MS = 2000
/** The path of a group is only used where nothing in its name has to be escaped: how a server reads such a name is its affair. */
const PLAIN_NAME = /^[\w.-]+$/

/** The pages that braft nodes serve beside their protocol. Owns its connections. */
export class BraftPages implements Disposable {
  private readonly pages: HttpPages
  private readonly facts = new Map<string, { readonly atMs: number; readonly facts: Promise<ProcessFacts> }>()
  /** The group that is meant where none was named: the only one of the first node that answered. */
  private theGroup: string | null = null

  constructor(private readonly connection: Connection) {
    this.pages = new HttpPages(tlsFilesOf(connection))
  }

  [Symbol.dispose](): void {
    this.pages[Symbol.dispose]()
  }

  /** The node of a group at an endpoint. Throws E_UNREACHABLE, E_NO_GROUP, E_USAGE when several groups could be meant. */
  async node(endpoint: string, group: string, signal?: AbortSignal): Promise<NodePage> {
    const wanted = this.connection.anyGroup && group === this.connection.group ? this.theGroup : group
    const path = wanted !== null && PLAIN_NAME.test(wanted) ? `/raft_stat/${wanted}` : '/raft_stat'
    const page = await this.get(endpoint, path, signal)
    const isRaftctl = page.headers.server === SERVER_HEADER
    const nodes = this.parse(endpoint, page)
    const [stat, ...others] = nodes.filter((node) => wanted === null || node.group === wanted)
    if (!stat) throw missing(endpoint, wanted ?? group, path === '/raft_stat' ? nodes : await this.all(endpoint))
    const groups = [...new Set(nodes.map((node) => node.group))]
    if (others.length === 0) {
      this.theGroup ??= wanted === null ? stat.group : null
      if (wanted === null && stat.group !== this.theGroup) throw missing(endpoint, this.theGroup as string, nodes)
      return { stat, isRaftctl }
    }
    if (wanted === null && groups.length > 1)
      throw new CliError('E_USAGE', `${endpoint} hosts ${groups.length} groups: say which with --group (${some(groups)})`, {
        details: { node: endpoint, groups },
      })
    throw new CliError(
      'E_UNSUPPORTED',
      `${endpoint} hosts several nodes of group ${stat.group}: ${nodes.map((node) => node.peerId).join(', ')}`,
      {
        hint: 'Such a process cannot be administered from here.',
      },
    )
  }

  /** Never throws: a process may hide these pages. */
  process(endpoint: string): Promise<ProcessFacts> {
    const known = this.facts.get(endpoint)
    if (known && performance.now() - known.atMs < FACTS_LIFE_MS) return known.facts
    const facts = this.pages.get(endpoint, `/vars/${FACTS.join(';')}`, this.deadlines()).then(factsOf, () => UNKNOWN)
    this.facts.set(endpoint, { atMs: performance.now(), facts })
    return facts
  }

  private async all(endpoint: string): Promise<readonly RaftStat[]> {
    return this.parse(endpoint, await this.get(endpoint, '/raft_stat'))
  }

  private parse(endpoint: string, page: Page): RaftStat[] {
    try {
      if (page.status !== 200) throw new RaftStatError(`the page answers with HTTP status ${page.status}`)
      return parseRaftStat(page.body)
    } catch (error) {
      if (!(error instanceof RaftStatError)) throw error
      const message = `it speaks HTTP but serves no /raft_stat that can be read: ${error.message}`
      throw unreachable({ endpoint, code: 'E_UNREACHABLE', stage: 'http', message })
    }
  }

  private async get(endpoint: string, path: string, signal?: AbortSignal): Promise<Page> {
    try {
      return await this.pages.get(endpoint, path, { ...this.deadlines(), ...(signal ? { signal } : {}) })
    } catch (error) {
      if (!(error instanceof PageError)) throw error
      const failure = { endpoint, code: 'E_UNREACHABLE', stage: 'http', message: error.message } as const
      if (error.connected && this.connection.tls === null) throw unreachable(failure)
      const timeoutMs = Math.min(500, this.connection.connectTimeoutMs)
      const found = await probe({ endpoint, tls: this.connection.tls !== null, timeoutMs }, error.message)
      throw unreachable(found.stage === 'grpc' ? failure : found)
    }
  }

  private deadlines() {
    return { connectTimeoutMs: this.connection.connectTimeoutMs, timeoutMs: this.connection.timeoutMs }
  }
}

function missing(endpoint: string, group: string, nodes: readonly RaftStat[]): CliError {
  const groups = [...new Set(nodes.map((node) => node.group))]
  const hosted = groups.length === 0 ? 'none' : some(groups)
  return new CliError('E_NO_GROUP', `${endpoint} hosts no group ${group}, but ${hosted}`, { details: { node: endpoint, groups } })
}

function some(groups: readonly string[]): string {
  const SHOWN = 5
  return `${groups.slice(0, SHOWN).join(', ')}${groups.length > SHOWN ? ` and ${groups.length - SHOWN} more` : ''}`
}

/** `name : value`, a line each. */
function factsOf({ status, body }: Page): ProcessFacts {
  if (status !== 200) return UNKNOWN
  const value = (name: string) =>
    new RegExp(`^${name} : (.*)$`, 'm')
      .exec(body)?.[1]
      ?.trim()
      .replace(/^"(.*)"$/, '$1') ?? ''
  const number = (name: string) => (/^\d{1,12}(\.\d{1,9})?$/.test(value(name)) ? Number(value(name)) : null)
  return { pid: number('pid'), uptimeMs: milliseconds(number('process_uptime')), revision: value('raft_revision') || null }
}

function milliseconds(seconds: number | null): number | null {
  return seconds === null ? null : Math.round(seconds * 1000)
}

function unreachable({
  endpoint,
  code,
  stage,
  message,
}: {
  endpoint: string
  code: string
  stage: string | null
  message: string
}): CliError {
  return new CliError(code === 'E_TLS' ? 'E_TLS' : 'E_UNREACHABLE', `${endpoint}: ${message}`, {
    details: { node: endpoint, stage, reason: message },
  })
}
