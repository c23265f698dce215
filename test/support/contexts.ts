import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CliHome } from './run-cli.js'

/** Writes a context as raftctl would, into a test's own home. */
export function saveInto(
  home: CliHome,
  context: {
    readonly name: string
    readonly endpoints: readonly string[]
    readonly clusterId?: string
    readonly readOnly?: boolean
    readonly env?: string
  },
): void {
  const directory = join(home.directory, '.config', 'raftctl', 'contexts')
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, `${context.name}.json`), JSON.stringify(context))
}
