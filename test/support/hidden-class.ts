import v8 from 'node:v8'

/**
 * Whether V8 has both objects in one hidden class. Objects that are not cost whoever reads them, on a hot path, a miss of its
 * caches each time: `{ ...a, b }` makes such ones.
 */
export const areOfOneClass: (a: object, b: object) => boolean = (() => {
  v8.setFlagsFromString('--allow-natives-syntax')
  try {
    return new Function('a', 'b', 'return %HaveSameMap(a, b)') as (a: object, b: object) => boolean
  } finally {
    v8.setFlagsFromString('--no-allow-natives-syntax')
  }
})()
