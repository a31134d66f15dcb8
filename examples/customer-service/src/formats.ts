import { html, htmlDocument } from '@stowage/example-shared'
import type { Customer } from './customer-repository.ts'

export function htmlOf(customers: readonly Customer[]): string {
  const title = customers.length === 1 ? (customers[0]?.name ?? '') : 'Customers'
  return htmlDocument(
    title,
    html`<main>
  <h1>${title}</h1>
  ${customers.map(
    ({ id, name, orders }) => html`<section>
    <h2><a href="/customers/${id}">${name}</a></h2>
    <ul>${orders.map((order) => html`<li>Order ${order.id}: ${euros(order.total)}</li>`)}</ul>
  </section>`,
  )}
</main>`,
  )
}

export function csvOf(customers: readonly Customer[]): string {
  const lines = customers.flatMap(({ id, name, orders }) =>
    orders.map((order) => [id, quoted(name), order.id, order.total].join(',')),
  )
  return ['customer,name,order,total', ...lines, ''].join('\r\n')
}

function quoted(text: string): string {
  return `"${text.replaceAll('"', '""')}"`
}

function euros(cents: number): string {
  return `${(cents / 100).toFixed(2)} €`
}
