import assert from 'node:assert/strict'
import { counted } from './counted.mjs'

const strict = counted(assert)
export default strict
export { strict }
export const { AssertionError } = assert
export const ok = counted(assert.ok)
export const fail = counted(assert.fail)
export const equal = counted(assert.equal)
export const notEqual = counted(assert.notEqual)
export const strictEqual = counted(assert.strictEqual)
export const notStrictEqual = counted(assert.notStrictEqual)
export const deepEqual = counted(assert.deepEqual)
export const notDeepEqual = counted(assert.notDeepEqual)
export const deepStrictEqual = counted(assert.deepStrictEqual)
export const notDeepStrictEqual = counted(assert.notDeepStrictEqual)
export const throws = counted(assert.throws)
export const doesNotThrow = counted(assert.doesNotThrow)
export const rejects = counted(assert.rejects)
export const doesNotReject = counted(assert.doesNotReject)
export const match = counted(assert.match)
export const doesNotMatch = counted(assert.doesNotMatch)
export const ifError = counted(assert.ifError)
