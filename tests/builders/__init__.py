"""What tests are made of: datasets, trees and processes, built in memory and typed."""
