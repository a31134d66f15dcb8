import {
  createBaseApp,
  errorHandler,
  HttpError,
  httpStatusOf,
} from '@stowage/example-shared/express'
import express, { type Express } from 'express'
import type { CustomerService } from './customer-service.ts'

const publicFolder = new URL('../public', import.meta.url)
const maxNameLength = 60

export function createApp(customers: CustomerService): Express {
  const app = createBaseApp(publicFolder)
  app.get('/customers', (request, response) => customers.sendList(request, response))
  app.get('/customers/:id', (request, response) =>
    customers.sendCustomer(request, response, request.params.id),
  )
  app.put('/customers/:id/name', express.text({ limit: '1kb' }), async (request, response) => {
    const name = String(request.body ?? '').trim()
    if (name === '' || name.length > maxNameLength) throw new HttpError(422)
    if (!(await customers.rename(request.params.id, name))) throw new HttpError(404)
    response.sendStatus(204)
  })
  app.use(
    errorHandler({
      statusOf: httpStatusOf,
      sendPage: (_error, _request, response) => void response.end(),
    }),
  )
  return app
}
