import { type Configuration, ConfigurationEntry, encodeConfiguration, Configuration as Members } from '../../src/raft/configuration.js'
import { EntryBatch, EntryType, type NewEntry } from '../../src/raft/log-entry.js'
import { PeerId } from '../../src/raft/peer-id.js'
import { asTerm, logIndex } from '../../src/raft/types.js'
import { checksum } from './fake-environment.js'

/** The member on port `n` of the loopback. */
export function peer(n: number): PeerId {
  return new PeerId('127.0.0.1', n)
}

export function members(...ports: number[]): Configuration {
  return new Members(ports.map(peer))
}

/** A configuration that stands at `index`; joint when `old` is given. */
export function configurationAt(index: number, conf: Configuration, old?: Configuration): ConfigurationEntry {
  return new ConfigurationEntry({ index: logIndex(index), term: asTerm(1) }, conf, old)
}

export function data(text: string): NewEntry {
  return { type: EntryType.DATA, data: Buffer.from(text) }
}

export function configuration(conf: Configuration, old: Configuration = Members.EMPTY): NewEntry {
  return { type: EntryType.CONFIGURATION, data: encodeConfiguration({ conf, old, learners: [] }) }
}

/** Entries of one term from `first` on; strings are data. */
export function batch(first: number, term: number, entries: readonly (string | NewEntry)[]): EntryBatch {
  const encoded = entries.map((entry) => (typeof entry === 'string' ? data(entry) : entry))
  return EntryBatch.encode(logIndex(first), asTerm(term), encoded, checksum)
}

/** `index:term:data` of every entry. */
export function texts(entries: EntryBatch | null | undefined): string[] {
  if (!entries) return []
  return Array.from({ length: entries.count }, (_, i) => {
    const index = logIndex(entries.firstIndex + i)
    return `${index}:${entries.termAt(index)}:${entries.dataAt(index).toString()}`
  })
}
