// Runs the tests of https://cache-tests.fyi against the middleware, with the origin of the suite behind it in one process.
// Prints the outcome of each test as JSON, and how long the machine stopped this process at most. The suite keeps its results
// in the module, so that each run needs a process of its own.
import { createRequire } from 'node:module'
import { Cache } from '@stowage/core'
import { responseCache } from '@stowage/http-cache'
import { memory } from '@stowage/memory'
import { Stalls } from '@stowage/test-servers'
import express from 'express'
import { getResults, runTests } from 'http-cache-tests/client/runner.mjs'
import handleConfig from 'http-cache-tests/server/handle-config.mjs'
import handleState from 'http-cache-tests/server/handle-state.mjs'
import handleTest from 'http-cache-tests/server/handle-test.mjs'
import suites from 'http-cache-tests/tests/index.mjs'

const fetch = createRequire(import.meta.url)('node-fetch')
const cache = new Cache(memory())
const app = express()
const segments = ({ originalUrl }) => originalUrl.split('?')[0].split('/').slice(2)
app.all('/config/:id', (request, response) => handleConfig(segments(request), request, response))
app.all('/state/:id', (request, response) => handleState(segments(request), request, response))
// The origin records the headers of each request, which must not make its responses private.
const ignoreReads = ['headers']
const options = { cache, mode: 'rfc9111', public: true, heuristic: true, ignoreReads }
app.use('/test', responseCache(options))
app.use('/test', (request, response) => {
  handleTest(segments(request), received(request), response)
})

/** The request with the headers as they are now: the suite looks at them later, when the cache has restored those of the client. */
function received(request) {
  return Object.create(request, {
    headers: { value: { ...request.headers } },
    url: { value: request.originalUrl },
    socket: { value: request.socket },
  })
}

// The suite reports what it does to the console.
console.log = () => {}
console.error = () => {}
const server = app.listen(0, '127.0.0.1', async () => {
  const stalls = new Stalls()
  await runTests(suites, fetch, false, `http://127.0.0.1:${server.address().port}`)
  stalls.stop()
  const results = getResults()
  const outcomes = {}
  for (const { id, kind = 'required', depends_on: needed = [] } of suites.flatMap(
    ({ tests }) => tests,
  )) {
    if (results[id] === undefined) continue
    const isSkipped = needed.some((other) => results[other] !== true)
    const outcome = isSkipped ? 'skipped' : results[id] === true ? 'passed' : 'failed'
    outcomes[kind] ??= { passed: [], failed: [], skipped: [] }
    outcomes[kind][outcome].push(id)
  }
  const report = { outcomes, stalledMs: stalls.maxMs }
  process.stdout.write(JSON.stringify(report), () => process.exit())
})
