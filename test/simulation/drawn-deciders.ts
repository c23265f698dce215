import { ClientDrawing } from './client-drawing.js'
import type { SimCluster } from './cluster.js'
import { type Decider, DrawnDecider } from './deciders.js'
import { DeedDrawing } from './deed-drawing.js'
import { FaultDrawing } from './fault-drawing.js'
import type { SwarmPlan } from './swarm-plan.js'

export interface Deciders {
  readonly fromStart: readonly Decider[]
  /** These begin when the group has a leader, or at once in a hostile world. */
  readonly onceFounded: readonly Decider[]
}

/** Draws everything from that plan and the seed of its cluster. */
export function drawnDeciders(cluster: SimCluster, plan: SwarmPlan): Deciders {
  const random = cluster.random.fork('clients')
  const clients = new ClientDrawing(cluster, plan, random)
  const faults = cluster.random.fork('faults')
  const deeds = cluster.random.fork('administrator')
  const faultDrawing = new FaultDrawing(cluster, plan, faults)
  const deedDrawing = new DeedDrawing(cluster, plan, deeds)
  return {
    fromStart: [
      new DrawnDecider(cluster, 'client', plan.writeEveryMs, random, () => clients.drawWrites()),
      new DrawnDecider(cluster, 'reader', plan.readEveryMs, random, () => clients.drawReads()),
    ],
    onceFounded: [
      new DrawnDecider(
        cluster,
        'fault',
        plan.faultEveryMs,
        faults,
        () => faultDrawing.draw(),
        () => faultDrawing.drawFirst(),
      ),
      new DrawnDecider(cluster, 'administrator', plan.administration.everyMs, deeds, () => deedDrawing.draw()),
    ],
  }
}
