import type { Product, ProductChange } from './products.ts'

/** The submitted values, the validation errors, and the change if there are no errors. */
export interface ProductForm {
  readonly values: { readonly name: string; readonly price: string }
  readonly errors: { readonly name?: string; readonly price?: string }
  readonly change?: ProductChange
}

const maxNameLength = 60

export function formFor(product: Product): ProductForm {
  const price = (product.priceCents / 100).toFixed(2)
  return { values: { name: product.name, price }, errors: {} }
}

export function parseProductForm(body: unknown): ProductForm {
  const values = { name: fieldOf(body, 'name'), price: fieldOf(body, 'price') }
  const nameError = validateName(values.name)
  const cents = parsePrice(values.price)
  if (nameError === undefined && cents !== undefined) {
    return { values, errors: {}, change: { name: values.name, priceCents: cents } }
  }
  const priceError = cents === undefined ? priceErrorOf(values.price) : undefined
  return {
    values,
    errors: { ...(nameError && { name: nameError }), ...(priceError && { price: priceError }) },
  }
}

/** A text field of a submitted form. Empty if it is missing or repeated. */
export function fieldOf(body: unknown, name: string): string {
  const value = (body as Record<string, unknown> | undefined)?.[name]
  return typeof value === 'string' ? value.trim() : ''
}

/** Validates the name of a product or a user. Returns the error message, if any. */
export function validateName(name: string): string | undefined {
  if (name === '') return 'Enter a name.'
  if ([...name].length > maxNameLength) return `Use at most ${maxNameLength} characters.`
  if (/\p{Cc}/u.test(name)) return 'Use letters, digits and punctuation only.'
  return undefined
}

function parsePrice(text: string): number | undefined {
  if (!/^\d{1,4}([.,]\d{1,2})?$/.test(text)) return undefined
  const cents = Math.round(Number(text.replace(',', '.')) * 100)
  return cents > 0 ? cents : undefined
}

function priceErrorOf(text: string): string {
  if (text === '') return 'Enter a price.'
  return 'Enter a price between 0.01 and 9999.99 euros, such as 4.80.'
}
