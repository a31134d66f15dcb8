// Runs the tests of https://cache-tests.fyi with the fetch of undici, whose interceptor stores responses in the store of a
// driver, or without one in that of undici. The argument is JSON: `driver`, its `options`, and the `ids` of the tests, all if
// they are missing. Prints the ids of the required tests that passed and that failed, as JSON. The suite keeps its results in
// the module, so that each run needs a process of its own.
import { createServer } from 'node:http'
import { undiciCacheStore } from '@stowage/bridges/undici'
import { Cache } from '@stowage/core'
import { getResults, runTests } from 'http-cache-tests/client/runner.mjs'
import handleConfig from 'http-cache-tests/server/handle-config.mjs'
import handleState from 'http-cache-tests/server/handle-state.mjs'
import handleTest from 'http-cache-tests/server/handle-test.mjs'
import suites from 'http-cache-tests/tests/index.mjs'
import { Agent, cacheStores, fetch, interceptors, setGlobalDispatcher } from 'undici'

const { driver, options, ids } = JSON.parse(process.argv[2])
const chosen = suites.map(({ tests, ...suite }) => ({
  ...suite,
  tests: tests.filter(({ id }) => ids?.includes(id) ?? true),
}))
const handlers = { config: handleConfig, state: handleState, test: handleTest }
const store =
  driver === undefined ? new cacheStores.MemoryCacheStore() : await storeOf(driver, options)
setGlobalDispatcher(new Agent().compose(interceptors.cache({ store, methods: ['GET', 'HEAD'] })))

async function storeOf(driver, options) {
  const { default: factory } = await import(`@stowage/${driver}`)
  return undiciCacheStore(new Cache(factory.create(options), { prefix: 'suite:' }))
}

// The suite reports what it does to the console.
console.log = () => {}
console.error = () => {}
const server = createServer((request, response) => {
  const [, handler, ...segments] = request.url.split('?')[0].split('/')
  handlers[handler](segments, request, response)
})
server.listen(0, '127.0.0.1', async () => {
  await runTests(chosen, fetch, false, `http://127.0.0.1:${server.address().port}`)
  const results = getResults()
  const required = chosen
    .flatMap(({ tests }) => tests)
    .filter(({ id, kind = 'required' }) => kind === 'required' && id in results)
    .map(({ id }) => id)
  const passed = required.filter((id) => results[id] === true)
  const failed = required.filter((id) => results[id] !== true)
  process.stdout.write(JSON.stringify({ passed, failed }), () => process.exit())
})
