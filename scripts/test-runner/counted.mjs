import { state } from './report.mjs'

/** The same function, and the functions that hang on it (`is.not`, `strict.equal`), counting their calls. */
export function counted(assertion) {
  return new Proxy(assertion, {
    apply(target, self, args) {
      state.assertions += 1
      return Reflect.apply(target, self, args)
    },
    get(target, key) {
      const value = Reflect.get(target, key)
      return typeof value === 'function' && !isClass(value) && key !== 'constructor' ? counted(value) : value
    },
  })
}

function isClass(value) {
  return /^class\b/.test(Function.prototype.toString.call(value))
}
