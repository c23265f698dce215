import { readFileSync } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { PeerId } from '../raft/peer-id.js'

/**
 * What members are called, kept in a file so that a dead member keeps its name without a leader. Names are labels:
 * nothing but people depends on them, so a file that is missing or damaged only means that they are learned anew.
 */
export class MemberNames {
  private readonly names = new Map<string, string>()
  private saving: Promise<void> = Promise.resolve()
  private path: string | null = null

  constructor(known: ReadonlyMap<string, string>) {
    for (const [key, name] of known) this.names.set(key, name)
  }

  /** Reads what was learned before and keeps the file up to date from now on. What is known already wins. */
  keepIn(path: string): void {
    this.path = path
    for (const [key, name] of readNames(path)) if (!this.names.has(key)) this.names.set(key, name)
    this.save()
  }

  /** '' when nobody said. */
  nameOf(peer: PeerId): string {
    return this.names.get(peer.key) ?? ''
  }

  learn(peer: PeerId, name: string): void {
    if (name === '' || name.length > 63 || this.names.get(peer.key) === name) return
    this.names.set(peer.key, name)
    this.save()
  }

  /** Once everything learned so far is in the file. */
  saved(): Promise<void> {
    return this.saving
  }

  private save(): void {
    const { path } = this
    if (!path) return
    this.saving = this.saving
      .then(async () => {
        const document = { version: 1, members: Object.fromEntries(this.names) }
        await writeFile(`${path}.new`, `${JSON.stringify(document, null, 2)}\n`)
        await rename(`${path}.new`, path)
      })
      .catch(() => {
        // A label that could not be kept is learned again from the next hello.
      })
  }
}

function readNames(path: string): [string, string][] {
  try {
    const { members } = JSON.parse(readFileSync(path, 'utf8')) as { members: Record<string, unknown> }
    return Object.entries(members).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string' && PeerId.parse(entry[0]) !== null,
    )
  } catch {
    return []
  }
}
