import { fromInt64 } from '../raft/types.js'
import { toInt64 } from './int64.js'

/**
 * The JSON form of a message, as brpc's json2pb reads and writes it: proto field names, int64 as JSON numbers (as text where a
 * number would not be exact), unknown members ignored. Generated messages carry no description of themselves, so each message served as JSON has its shape here.
 */
export type FieldType = 'string' | 'int64' | 'int32' | 'bool' | MessageShape

export interface FieldShape {
  readonly type: FieldType
  readonly rule: 'required' | 'optional' | 'repeated'
}

export interface MessageShape {
  readonly [field: string]: FieldShape
}

export function required(type: FieldType): FieldShape {
  return { type, rule: 'required' }
}

export function optional(type: FieldType): FieldShape {
  return { type, rule: 'optional' }
}

export function repeated(type: FieldType): FieldShape {
  return { type, rule: 'repeated' }
}

/** What is wrong with a JSON request. */
export class JsonMessageError extends Error {
  override name = 'JsonMessageError'
}

/** Reads a message; throws JsonMessageError when a required field is missing or a value has the wrong type. */
export function messageFromJson(shape: MessageShape, json: unknown, path = ''): Record<string, unknown> {
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new JsonMessageError(`${path || 'the body'} is not a JSON object`)
  const message: Record<string, unknown> = {}
  for (const [field, { type, rule }] of Object.entries(shape)) {
    const name = path + field
    const value: unknown = Object.hasOwn(json, field) ? (json as Record<string, unknown>)[field] : undefined
    if (value === undefined || value === null) {
      if (rule === 'required') throw new JsonMessageError(`missing required field ${name}`)
      message[field] = rule === 'repeated' ? [] : null
    } else if (rule === 'repeated') {
      if (!Array.isArray(value)) throw new JsonMessageError(`${name} is not an array`)
      message[field] = value.map((item, i) => valueFromJson(type, item, `${name}[${i}]`))
    } else message[field] = valueFromJson(type, value, name)
  }
  return message
}

function valueFromJson(type: FieldType, value: unknown, name: string): unknown {
  switch (type) {
    case 'string':
      if (typeof value !== 'string') throw new JsonMessageError(`${name} is not a string`)
      return value
    case 'bool':
      if (typeof value !== 'boolean') throw new JsonMessageError(`${name} is not a boolean`)
      return value
    case 'int64':
      return int64FromJson(value, name)
    case 'int32':
      if (!Number.isSafeInteger(value)) throw new JsonMessageError(`${name} is not an integer`)
      return value
    default:
      return messageFromJson(type, value, `${name}.`)
  }
}

/** Writes a message; fields that are not set are left out. */
export function messageToJson(shape: MessageShape, message: Record<string, unknown>): Record<string, unknown> {
  const json: Record<string, unknown> = {}
  for (const [field, { type, rule }] of Object.entries(shape)) {
    const value = message[field]
    if (value === undefined || value === null) continue
    if (rule !== 'repeated') json[field] = valueToJson(type, value)
    else if ((value as unknown[]).length > 0) json[field] = (value as unknown[]).map((item) => valueToJson(type, item))
  }
  return json
}

function int64FromJson(value: unknown, name: string): unknown {
  if (Number.isSafeInteger(value)) return value
  if (typeof value !== 'string' || !/^-?\d{1,19}$/.test(value) || BigInt.asIntN(64, BigInt(value)) !== BigInt(value))
    throw new JsonMessageError(`${name} is not an integer of 64 bits`)
  return toInt64(BigInt(value))
}

function valueToJson(type: FieldType, value: unknown): unknown {
  if (type === 'int64') {
    const number = fromInt64(value as number)
    return Number.isSafeInteger(number) ? number : String(value)
  }
  return typeof type === 'string' ? value : messageToJson(type, value as Record<string, unknown>)
}
