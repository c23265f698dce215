import type { ConnectionTest } from '../admin/connection-test.js'
import { contextConnection } from '../terminal/cluster-command.js'
import { CliError } from '../terminal/errors.js'
import { contextNames, readContext, selection } from './context-store.js'

export interface TestOptions {
  /** Null: the selected one. */
  readonly name: string | null
  readonly all: boolean
  readonly timeoutMs: number | undefined
  readonly connectTimeoutMs: number | undefined
}

/** Tests one context or all of them, at once. A context whose file cannot be used is a test that failed, where all are tested. */
export async function testContexts(options: TestOptions): Promise<ConnectionTest[]> {
  if (!options.all) return [await testContext(chosen(options.name), options)]
  return Promise.all(
    contextNames().map(async (name) => {
      try {
        return await testContext(name, options)
      } catch (error) {
        if (!(error instanceof CliError)) throw error
        const { code, message } = error
        return { context: name, ok: false, clusterId: null, pinned: false, leader: null, term: null, nodes: [], error: { code, message } }
      }
    }),
  )
}

async function testContext(name: string, options: TestOptions): Promise<ConnectionTest> {
  const connection = contextConnection(readContext(name), { timeout: options.timeoutMs, 'connect-timeout': options.connectTimeoutMs })
  const { testConnection } = await import('../admin/connection-test.js')
  return testConnection(name, connection)
}

function chosen(name: string | null): string {
  const wanted = name ?? process.env.RAFTCTL_CONTEXT ?? selection().current
  if (wanted) return wanted
  throw new CliError('E_NO_CONTEXT', 'no context is selected', { hint: 'raftctl context test NAME    or    raftctl context test --all' })
}
