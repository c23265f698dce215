/** Codes of the command line's registry with which a start may fail. */
export type StartErrorCode =
  | 'E_USAGE'
  | 'E_PORT'
  | 'E_DATA_DIR'
  | 'E_NO_SPACE'
  | 'E_NEEDS_REBUILD'
  | 'E_REMOVED_FROM_CLUSTER'
  | 'E_MIXED'
  | 'E_CORRUPT'
  | 'E_CLUSTER_MISMATCH'
  | 'E_INTERNAL'

/** Why a node does not run: what happened, to what, and what to do next. */
export class StartError extends Error {
  override readonly name = 'StartError'

  constructor(
    readonly code: StartErrorCode,
    message: string,
    readonly hint: string,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}
