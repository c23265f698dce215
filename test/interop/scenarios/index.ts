import type { Scenario } from '../scenario.js'
import { mixedScenarios } from './mixed.js'

export const SCENARIOS: readonly Scenario[] = [...mixedScenarios]
