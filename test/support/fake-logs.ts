import * as grpc from '@grpc/grpc-js'
import type { raftctl } from '../../src/generated/raftctl.js'
import { toGrpcError } from '../../src/rpc/error-detail.js'
import type { FakeNode } from './fake-control.js'
import { type Document, documentOf } from './local-clusters.js'
import type { CliHome } from './run-cli.js'

export const FIRST = 10
export const LAST = 30
export const COMMIT = 28

export type Record = raftctl.v1.LogRecord.$Properties

/** Entries 10 to 30 of term 8, committed up to 28; what a node has besides stands in `other`. */
export function serveLogs(nodes: readonly FakeNode[], other: ReadonlyMap<FakeNode, ReadonlyMap<number, Record>> = new Map()): void {
  for (const node of nodes) {
    Object.assign(node.status, { first_index: FIRST, last_index: LAST, commit_index: COMMIT, applied_index: COMMIT - 1 })
    node.log = (request) => {
      const { from, to } = request
      if (Number(from) < FIRST)
        throw toGrpcError(grpc.status.OUT_OF_RANGE, { code: 'E_COMPACTED', retryable: false, applied: 'no' }, 'cut off')
      const last = Math.min(Number(to) || LAST, request.committed_only ? COMMIT : LAST)
      return Array.from(
        { length: Math.max(0, last - Number(from) + 1) },
        (_, i) => other.get(node)?.get(Number(from) + i) ?? recordAt(Number(from) + i),
      )
    }
  }
}

export function recordAt(index: number): Record {
  const data = Buffer.from(`data of ${index}`)
  const isConfiguration = index === 12
  return {
    ...{ index, term: 8, bytes: data.length, data, committed: index <= COMMIT, applied: index < COMMIT, commit_index: COMMIT },
    ...(isConfiguration
      ? { type: 'configuration', operation: 'config', summary: 'voters n1 n2 n3' }
      : { type: 'data', operation: 'put', summary: `k${index} = "v"`, time_ms: 1_700_000_000_000 }),
  }
}

/** Runs `log …` with and without --json: the exit codes have to agree, and the document has to be as declared. */
export async function bothOf(home: CliHome, endpoint: string, args: readonly string[]) {
  const text = await home.run(['log', ...args, '-e', endpoint])
  const document = await oneOf(home, endpoint, args)
  if (document.exitCode !== text.exitCode) throw new Error(`${document.exitCode} with --json, ${text.exitCode} without: ${text.stderr}`)
  return { text, document }
}

/** The same, only with --json. */
export async function oneOf(home: CliHome, endpoint: string, args: readonly string[]): Promise<Document> {
  return documentOf(await home.run(['log', ...args, '-e', endpoint, '--json']), args)
}
