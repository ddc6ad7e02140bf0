"""What holds for every test."""

from hypothesis import settings

# A property is judged by what it says, not by how busy the machine is: on two loaded cores a case that takes 10 ms
# alone was seen to take 300, above hypothesis' own limit of 200.
settings.register_profile("calm", deadline=None)
settings.load_profile("calm")
