import * as assert from 'uvu/assert'
import { counted } from './counted.mjs'

export const { Assertion } = assert
export const ok = counted(assert.ok)
export const is = counted(assert.is)
export const equal = counted(assert.equal)
export const type = counted(assert.type)
export const instance = counted(assert.instance)
export const match = counted(assert.match)
export const snapshot = counted(assert.snapshot)
export const fixture = counted(assert.fixture)
export const throws = counted(assert.throws)
export const not = counted(assert.not)
export const unreachable = counted(assert.unreachable)
