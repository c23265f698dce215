const CLUSTER_ID_HEX_DIGITS = 32

/**
 * The cluster id that founders of a manual `--peers` cluster agree on without asking: the first 128 bits of
 * SHA-256 over the bootstrap token and every founder's (peer, incarnation). Each founder's directory is new, so two clusters
 * never share an id, even with the same addresses and token.
 */
export function manualClusterId(options: {
  readonly bootstrapToken: string
  /** Incarnation by PeerId key. */
  readonly founders: ReadonlyMap<string, string>
  /** SHA-256 of a UTF-8 text, in lower-case hex. */
  readonly sha256: (text: string) => string
}): string {
  const founders = [...options.founders].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  return options.sha256(JSON.stringify(['raftctl cluster id 1', options.bootstrapToken, founders])).slice(0, CLUSTER_ID_HEX_DIGITS)
}
