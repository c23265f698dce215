import { accessSync, constants } from 'node:fs'
import { join } from 'node:path'

/** What braft builds of its examples and tools, by the names that it gives them. */
export const BRAFT_BINARIES = [
  'counter_server',
  'counter_client',
  'atomic_server',
  'atomic_client',
  'block_server',
  'block_client',
  'braft_cli',
] as const

export type BraftBinary = (typeof BRAFT_BINARIES)[number]

/** A directory with braft's programs. */
export class BraftBinaries {
  constructor(readonly directory: string) {}

  path(binary: BraftBinary): string {
    return join(this.directory, binary)
  }

  /** Those of `wanted` that are not there, or that may not be run. */
  missing(wanted: Iterable<BraftBinary>): BraftBinary[] {
    return [...new Set(wanted)].filter((binary) => !mayRun(this.path(binary)))
  }
}

function mayRun(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
