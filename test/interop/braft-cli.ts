import { execa } from 'execa'
import type { BraftBinaries } from './binaries.js'

export type BraftCliCommand = 'add_peer' | 'remove_peer' | 'change_peers' | 'reset_peer' | 'snapshot' | 'transfer_leader'

export interface BraftCliFlags {
  readonly group: string
  readonly conf?: readonly string[]
  readonly peer?: string
  readonly new_peers?: readonly string[]
}

export interface BraftCliRun {
  readonly ok: boolean
  readonly output: string
}

/** Runs braft's own administrator. It waits for the end of what it asked for, so it is given up after a while. */
export async function braftCli(binaries: BraftBinaries, command: BraftCliCommand, flags: BraftCliFlags): Promise<BraftCliRun> {
  const given = Object.entries(flags).map(([name, value]) => `--${name}=${typeof value === 'string' ? value : value.join(',')}`)
  const run = await execa(binaries.path('braft_cli'), [command, ...given, '--timeout_ms=20000'], {
    all: true,
    reject: false,
    timeout: 60_000,
  })
  return { ok: run.exitCode === 0, output: run.all ?? '' }
}
