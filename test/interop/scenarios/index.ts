import type { Scenario } from '../scenario.js'
import { braftCliScenario } from './braft-cli.js'
import { clientScenarios } from './clients.js'
import { directoryScenarios } from './directories.js'
import { migrationScenarios } from './migrate.js'
import { mixedScenarios } from './mixed.js'
import { raftctlAdminScenario } from './raftctl-admin.js'

export const SCENARIOS: readonly Scenario[] = [
  ...mixedScenarios,
  ...migrationScenarios,
  ...directoryScenarios,
  braftCliScenario,
  raftctlAdminScenario,
  ...clientScenarios,
]
