// Module resolution for a test's process: the project's tests get the counting doubles, everything else the real modules.
const doubles = new Map([
  ['uvu', './uvu.mjs'],
  ['uvu/assert', './uvu-assert.mjs'],
  ['node:assert', './node-assert.mjs'],
  ['assert', './node-assert.mjs'],
  ['node:assert/strict', './node-assert.mjs'],
])

export async function resolve(specifier, context, next) {
  const double = doubles.get(specifier)
  const isTest =
    double !== undefined && /\/(test|examples)\//.test(context.parentURL ?? '') && !context.parentURL.includes('/node_modules/')
  return isTest ? { url: new URL(double, import.meta.url).href, shortCircuit: true } : next(specifier, context)
}
