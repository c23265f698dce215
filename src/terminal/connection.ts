import type { Context } from './context-files.js'

export interface TlsFiles {
  readonly ca: string | null
  readonly cert: string | null
  readonly key: string | null
  readonly serverName: string | null
}

/** How the nodes are asked; auto: by whatever each of them is. */
export const ENGINE_CHOICES = ['auto', 'raftctl', 'braft'] as const
export type EngineChoice = (typeof ENGINE_CHOICES)[number]

/** Everything that is needed to reach a cluster, with flags, environment, context and files already weighed. */
export interface Connection {
  /** Null when endpoints were given without a context. */
  readonly context: Context | null
  readonly endpoints: readonly string[]
  readonly group: string
  /** No group was named: where a node hosts another one than `group`, and only that, it is meant. */
  readonly anyGroup: boolean
  readonly engine: EngineChoice
  readonly timeoutMs: number
  readonly connectTimeoutMs: number
  /** Ask exactly these endpoints: no discovery, no routing. */
  readonly direct: boolean
  /** The cluster that must answer; null: any. */
  readonly clusterId: string | null
  readonly tls: TlsFiles | null
  readonly tokenFile: string | null
}
