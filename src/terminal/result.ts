import type { CliError } from './errors.js'
import type { Output } from './output.js'

export interface ResultOptions {
  /** 3 when the question was answered and the answer is no. */
  readonly exitCode?: 0 | 3
  /** Rows exist, but the question could not be answered: the document carries both, and this decides the exit code. */
  readonly error?: CliError | null
  /** Worth knowing; in the document under `warnings`, on stderr for a person. */
  readonly warnings?: readonly string[]
  /** Of the cluster that answered. */
  readonly clusterId?: string | null
}

/** What a command found: the data of its document, and how a person reads it. */
export class Result<Data = unknown> {
  constructor(
    readonly data: Data,
    /** Left out: nothing is printed for a person. */
    readonly render: ((out: Output) => void) | null,
    readonly options: ResultOptions = {},
  ) {}
}
