// Sends two requests for each handler in a process that is observed, and prints what `Cache-Status` says of the second one.
// A process of its own, because an observer is there for all that its process does.
const { cached, responseCache } = require('@stowage/http-cache')
const { Cache } = require('@stowage/core')
const { memory } = require('@stowage/memory')
const { Readable } = require('node:stream')
const express = require('express')

const observers = {
  nothing: () => {},
  repl: () => void require('node:repl'),
  'performance observer': () => {
    const { PerformanceObserver } = require('node:perf_hooks')
    new PerformanceObserver(() => {}).observe({ entryTypes: ['http', 'net'] })
  },
  tracing: () => {
    require('node:trace_events')
      .createTracing({ categories: ['node.http'] })
      .enable()
  },
  domain: () => {
    const { create } = require('node:domain')
    return (request, response, next) => {
      const domain = create()
      domain.add(request)
      domain.add(response)
      domain.run(next)
    }
  },
  OpenTelemetry: () => {
    const { context } = require('@opentelemetry/api')
    const { AsyncLocalStorageContextManager } = require('@opentelemetry/context-async-hooks')
    const { HttpInstrumentation } = require('@opentelemetry/instrumentation-http')
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
    new HttpInstrumentation().enable()
    require('node:http')
  },
}

const forms = {
  middleware: (options, handler) => [responseCache(options), handler],
  cached: (options, handler) => [cached(options, handler)],
}

const handlers = {
  text: (_request, response) => void response.send('page'),
  stream: (_request, response) => {
    response.type('text')
    Readable.from(['a', 'b']).pipe(response)
  },
  listeners: (request, response) => {
    request.once('close', () => {})
    response.once('close', () => {})
    response.json([1])
  },
}

async function main() {
  const [observer] = process.argv.slice(2)
  // Nothing that this changes was there when the package was loaded.
  const inFront = observers[observer]()
  const app = express()
  if (inFront !== undefined) app.use(inFront)
  const cache = new Cache(memory())
  for (const [form, route] of Object.entries(forms)) {
    for (const [name, handler] of Object.entries(handlers))
      app.get(`/${form}/${name}`, ...route({ cache, ttl: '1m' }, handler))
  }
  const server = app.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address()
  const outcomes = {}
  for (const form of Object.keys(forms)) {
    for (const name of Object.keys(handlers)) {
      const get = async () => {
        const response = await fetch(`http://127.0.0.1:${port}/${form}/${name}`)
        await response.text()
        return response.headers.get('cache-status')
      }
      await get()
      outcomes[`${form} ${name}`] = (await get()).replace(/\d+$/, 'seconds')
    }
  }
  console.log(JSON.stringify(outcomes))
  process.exit()
}

main()
