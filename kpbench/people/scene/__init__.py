"""What stands around the people: rooms, light, cameras, clothes.

Everything here is drawn from the seed of an item.
"""
