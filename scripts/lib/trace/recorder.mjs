import { AsyncLocalStorage } from 'node:async_hooks'

/** The function that runs, in the asynchronous context of its call. */
const running = new AsyncLocalStorage()

/** Called by instrumented functions. */
globalThis.$trace = (name, file, work) => {
  const caller = running.getStore()
  if (caller === undefined) return work()
  const call = { name, file, calls: [] }
  caller.calls.push(call)
  return running.run(call, work)
}

/** Runs `work`, and resolves to the calls that it has made. */
export async function record(work) {
  const root = { calls: [] }
  await running.run(root, work)
  return root.calls
}

/** Each function once, where it is called first. Its depth is the number of functions around it. */
export function firstCalls(calls, depth = 0, seen = new Set()) {
  return calls.flatMap(({ name, file, calls: inner }) => {
    const id = `${file} ${name}`
    const isNew = !seen.has(id)
    seen.add(id)
    const below = firstCalls(inner, isNew ? depth + 1 : depth, seen)
    return isNew ? [{ name, file, depth }, ...below] : below
  })
}
