import type { PendingOperation } from '../../src/admin/linearizability/operation.js'
import type { RegisterAnswer } from '../../src/admin/linearizability/register-model.js'
import type { SimCluster } from './cluster.js'
import { kvCommand, kvKey, toldBy } from './kv-commands.js'
import type { KvMachine } from './kv-machine.js'
import type { SimMember } from './member.js'

interface Command {
  readonly told: PendingOperation<RegisterAnswer>
  tries: number
  /** Tries that certainly had no effect. */
  refused: number
  answered: boolean
}

/**
 * Clients of the key-value machine, who repeat commands until they lose patience. Whatever comes of the tries of one command,
 * in the history it is one operation: sessions promise that it took effect once at most.
 */
export class KvClients {
  private readonly commands = new Map<number, Command>()

  constructor(
    private readonly cluster: SimCluster,
    private readonly keys: number,
  ) {}

  /** One try, the first or a repetition. */
  write(member: SimMember, register: number, sequence: number): void {
    const { key, call, payload } = kvCommand(sequence, this.keys)
    let command = this.commands.get(sequence)
    if (!command) {
      const told = this.cluster.history.beginOperation(member.name, key, call)
      this.commands.set(sequence, (command = { told, tries: 0, refused: 0, answered: false }))
    }
    command.tries++
    const machine = member.machine as KvMachine
    this.cluster.write(member, register, { payload, done: ({ outcome }) => this.ended(command, outcome, machine) })
  }

  read(member: SimMember, register: number, timeoutMs: number): void {
    const key = kvKey(register)
    const told = this.cluster.history.beginOperation(member.name, key, { kind: 'get' })
    const machine = member.machine as KvMachine
    this.cluster.read(member, register, timeoutMs, (_value, status) =>
      status.ok ? told.answered({ found: machine.held(key) }) : told.failed(),
    )
  }

  /** Nobody tries any more: what was refused each time did not happen. */
  conclude(): void {
    for (const { told, tries, refused } of this.commands.values()) if (refused === tries) told.failed()
  }

  private ended(command: Command, outcome: 'pending' | 'acked' | 'refused' | 'unknown', { lastAnswer }: KvMachine): void {
    const answer = outcome === 'acked' && lastAnswer ? toldBy(lastAnswer) : null
    if (answer && !command.answered) {
      command.answered = true
      command.told.answered(answer, answer.revision ?? null)
    } else if (outcome === 'refused' || (outcome === 'acked' && !answer)) command.refused++
  }
}
